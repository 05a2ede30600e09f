/**
 * What every environment promises beyond its types, as checks that any test runner can use. Samples tasks; a broken
 * promise may need a bad sample to show.
 */
import { createRandom } from "../../base/core/index.ts";
import {
  type Environment,
  type Example,
  type Rendering,
  type Split,
  splits,
  type TaskRequest,
} from "./environment.ts";

type Clause = (environment: Environment) => readonly string[];

/** Every promise that the environment breaks, one sentence each; an empty list when it keeps the contract. */
export function testEnvironment(environment: Environment): readonly string[] {
  return clauses.flatMap((clause) => clause(environment));
}

interface Sample extends TaskRequest {
  readonly task: unknown;
}

function sample(environment: Environment): readonly Sample[] {
  const requests = environment.renderings.flatMap((rendering) =>
    splits.flatMap((split) =>
      Array.from({ length: 60 }, (_, index) => ({ split, seed: 5, index, rendering })),
    ),
  );
  return requests.map((request) => ({ ...request, task: environment.createTask(request) }));
}

function nameTask({ split, rendering, index }: Sample): string {
  return `Task ${index} (${split}, ${rendering})`;
}

const tasksRepeat: Clause = (environment) =>
  sample(environment).flatMap((each) => {
    const written = environment.prompt(each.task, each.rendering);
    const again = environment.prompt(environment.createTask(each), each.rendering);
    const neighbor = environment.createTask({ ...each, seed: each.seed + 1, index: each.index - 1 });
    const broken = written !== again ? [`${nameTask(each)} differs when created again`] : [];
    return written === environment.prompt(neighbor, each.rendering)
      ? broken
      : [...broken, `${nameTask(each)} differs from task ${each.index - 1} of the next seed`];
  });

const referenceAnswersSolve: Clause = (environment) => {
  const rewards = new Set<number>();
  const broken = sample(environment).flatMap((each) => {
    const answer = environment.referenceAnswer(each.task, each.rendering);
    const { outcome, reward, parts } = environment.grade(each.task, answer, each);
    rewards.add(reward);
    const isSolved = outcome === environment.outcomes[0] && parts.format && parts.values && parts.solved;
    return isSolved ? [] : [`${nameTask(each)} is not solved by its reference answer: ${outcome}`];
  });
  return rewards.size === 1 ? broken : [...broken, "Reference answers do not all earn the same reward"];
};

/** Texts that no model should be trusted to avoid: random characters, and damaged reference answers. */
function drawAnswers(environment: Environment, each: Sample): readonly string[] {
  const random = createRandom(each.seed, "answers", each.split, each.rendering, each.index);
  const reference = environment.referenceAnswer(each.task, each.rendering);
  const characters = [
    ...'0123456789+-*/()={}[]":, \n\\A\u00e9\u{1f0a1}',
    "formula",
    "null",
    ...reference.split(" "),
  ];
  const noise = Array.from({ length: random.integer(0, 60) }, () => random.pick(characters)).join("");
  const cut = random.integer(0, reference.length);
  return [noise, reference.slice(0, cut) + noise, reference.slice(0, cut) + reference.slice(cut + 1)];
}

const gradeIsTotal: Clause = (environment) =>
  sample(environment).flatMap((each) => {
    const reference = environment.referenceAnswer(each.task, each.rendering);
    const top = environment.grade(each.task, reference, each).reward;
    return drawAnswers(environment, each).flatMap((answer) =>
      [false, true].flatMap((compat) => {
        const verdict = environment.grade(each.task, answer, { rendering: each.rendering, compat });
        const isSound =
          environment.outcomes.includes(verdict.outcome) &&
          Number.isFinite(verdict.reward) &&
          verdict.feedback !== "" &&
          (verdict.parts.solved ? verdict.reward === top : verdict.reward < top);
        return isSound ? [] : [`${nameTask(each)} has an unsound verdict for ${JSON.stringify(answer)}`];
      }),
    );
  });

const promptsTellTasksApart: Clause = (environment) => {
  const seen = new Map<string, string>();
  return sample(environment).flatMap((each) => {
    const written = environment.prompt(each.task, each.rendering);
    const described = environment.describeTask(each.task);
    const other = seen.get(written) ?? described;
    seen.set(written, described);
    return other === described ? [] : [`${nameTask(each)} has the prompt of another task, ${other}`];
  });
};

function listCompactExamples(environment: Environment): readonly Example[] {
  const played = sample(environment).filter(({ rendering }) => rendering === "compact");
  const lessons = Object.entries(environment.lessons).flatMap(([lesson, { draw }]) =>
    Array.from({ length: 200 }, (_, index) => draw(createRandom(index, lesson))),
  );
  return [
    ...lessons,
    ...played.flatMap(({ task, rendering }) => {
      const answer = environment.referenceAnswer(task, rendering);
      const retry = environment.retryPrompt(task, { rendering, attempts: [] });
      return [
        { prompt: environment.prompt(task, rendering), answer },
        { prompt: retry, answer },
      ];
    }),
  ];
}

const vocabularyCovers: Clause = (environment) => {
  const words = new Set(environment.vocabulary);
  const text = listCompactExamples(environment).flatMap(({ prompt, answer }) => [prompt, answer]);
  const unknown = new Set(text.flatMap((each) => each.split(" ")).filter((word) => !words.has(word)));
  return [
    ...[...unknown].map((word) => `The vocabulary lacks the word ${JSON.stringify(word)}`),
    ...(words.size < environment.vocabulary.length ? ["The vocabulary repeats a word"] : []),
    ...(environment.vocabulary.some((word) => /^$|\s/.test(word))
      ? ["A word is empty or holds a space"]
      : []),
  ];
};

const lessonsRepeat: Clause = (environment) =>
  Object.entries(environment.lessons).flatMap(([lesson, { draw }]) => {
    const drawn = [1, 1, 2, 3].map((seed) => JSON.stringify(draw(createRandom(seed, "lesson"))));
    const broken = drawn[0] === drawn[1] ? [] : [`Lesson "${lesson}" draws differently from the same stream`];
    return new Set(drawn).size > 1 ? broken : [...broken, `Lesson "${lesson}" always draws the same example`];
  });

const attemptsArePositive: Clause = (environment) =>
  environment.renderings
    .filter((rendering: Rendering) => environment.numAttempts[rendering] < 1)
    .map((rendering) => `No attempts are allowed in ${rendering}`);

const splitsDiffer: Clause = (environment) =>
  environment.renderings.flatMap((rendering) => {
    const describe = (split: Split): string =>
      sample(environment)
        .filter((each) => each.split === split && each.rendering === rendering)
        .map(({ task }) => environment.prompt(task, rendering))
        .join("\n");
    return describe("id") === describe("ood") ? [`The splits are the same in ${rendering}`] : [];
  });

const clauses: readonly Clause[] = [
  tasksRepeat,
  referenceAnswersSolve,
  gradeIsTotal,
  promptsTellTasksApart,
  vocabularyCovers,
  lessonsRepeat,
  attemptsArePositive,
  splitsDiffer,
];
