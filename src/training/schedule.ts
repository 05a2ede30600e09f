/** Learning-rate schedules as composable values: functions of the step. */

/** The learning rate of a step, counted from 1. */
export type Schedule = (step: number) => number;

/** The same rate at every step. */
export function constantSchedule(learningRate: number): Schedule {
  return () => learningRate;
}

/** Half a cosine from `from` at step 1 to `to` at `numSteps` and after. */
export function cosineSchedule(options: {
  readonly from: number;
  readonly to: number;
  readonly numSteps: number;
}): Schedule {
  const { from, to, numSteps } = options;
  return (step) => {
    const progress = numSteps <= 1 ? 1 : Math.min(1, Math.max(0, (step - 1) / (numSteps - 1)));
    return to + ((from - to) * (1 + Math.cos(Math.PI * progress))) / 2;
  };
}

/** `schedule` scaled by step / numSteps while the step is below `numSteps`. */
export function withWarmup(schedule: Schedule, numSteps: number): Schedule {
  return (step) => schedule(step) * (numSteps === 0 ? 1 : Math.min(1, step / numSteps));
}
