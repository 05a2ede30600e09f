/** Between pieces of work that take a thread for themselves. */

/** Lets others have their turn, signals and timers among them. */
export function takeTurns(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
