/** What a process is given: memory, time, cores. */

/** What a process of an executor is given. */
export interface Resources {
  readonly cores: number;
  readonly bytes: number;
  /** Until it is ended by the scheduler. */
  readonly seconds: number;
}

/** Whole mebibytes that hold so many bytes: the unit that schedulers are asked in. */
export const toMebibytes = (bytes: number): number => Math.ceil(bytes / 2 ** 20);
