/** Advantages: how much better than expected an answer was. */

/** Rewards less the mean of their group (answers to the same task): GRPO's advantages before scaling (Shao et al. 2024). */
export function groupAdvantages(rewards: readonly number[], groupSize: number): readonly number[] {
  return rewards.map((reward, index) => {
    const start = index - (index % groupSize);
    return reward - meanOf(rewards.slice(start, start + groupSize));
  });
}

/** Advantages of each group divided by their standard deviation (+ 1e-6): no variation, no signal. */
export function scaleByGroup(advantages: readonly number[], groupSize: number): readonly number[] {
  return advantages.map((advantage, index) => {
    const start = index - (index % groupSize);
    return advantage / (deviationOf(advantages.slice(start, start + groupSize)) + 1e-6);
  });
}

/** Advantages less their mean, divided by their standard deviation (+ 1e-5), over the whole rollout. */
export function standardize(advantages: readonly number[]): readonly number[] {
  const mean = meanOf(advantages);
  const scale = deviationOf(advantages) + 1e-5;
  return advantages.map((advantage) => (advantage - mean) / scale);
}

/** Discount γ and the trace decay λ of generalized advantage estimation. */
export interface AdvantageDecay {
  readonly discount: number;
  readonly traceDecay: number;
}

/**
 * Generalized advantage estimation over the turns of one episode (Schulman et al. 2016):
 * δ_t = r_t + γ V_{t+1} − V_t, Â_t = δ_t + γ λ Â_{t+1}. The episode is over after its last turn, whether it was
 * solved or ran out of attempts, so nothing is bootstrapped beyond it and nothing leaks from the next one.
 */
export function generalizedAdvantages(
  turns: readonly { readonly reward: number; readonly value: number }[],
  { discount, traceDecay }: AdvantageDecay,
): readonly number[] {
  const advantages = new Array<number>(turns.length).fill(0);
  let [nextValue, nextAdvantage] = [0, 0];
  for (const [index, { reward, value }] of [...turns.entries()].reverse()) {
    nextAdvantage = reward + discount * nextValue - value + discount * traceDecay * nextAdvantage;
    advantages[index] = nextAdvantage;
    nextValue = value;
  }
  return advantages;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(meanOf(values.map((value) => (value - mean) ** 2)));
}
