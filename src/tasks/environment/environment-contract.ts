/**
 * What every environment promises beyond its types, as checks that any test runner can use. Samples tasks; a broken
 * promise may need a bad sample to show.
 */
import { createRandom } from "../../base/core/index.ts";
import {
  type Environment,
  type Example,
  type PromptFormat,
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
  const requests = environment.promptFormats.flatMap((promptFormat) =>
    splits.flatMap((split) =>
      Array.from({ length: 60 }, (_, index) => ({ split, seed: 5, index, promptFormat })),
    ),
  );
  return requests.map((request) => ({ ...request, task: environment.createTask(request) }));
}

function nameTask({ split, promptFormat, index }: Sample): string {
  return `Task ${index} (${split}, ${promptFormat})`;
}

const tasksRepeat: Clause = (environment) =>
  sample(environment).flatMap((each) => {
    const written = environment.prompt(each.task, each.promptFormat);
    const again = environment.prompt(environment.createTask(each), each.promptFormat);
    const neighbor = environment.createTask({ ...each, seed: each.seed + 1, index: each.index - 1 });
    const broken = written !== again ? [`${nameTask(each)} differs when created again`] : [];
    return written === environment.prompt(neighbor, each.promptFormat)
      ? broken
      : [...broken, `${nameTask(each)} differs from task ${each.index - 1} of the next seed`];
  });

const referenceAnswersSolve: Clause = (environment) => {
  const rewards = new Set<number>();
  const broken = sample(environment).flatMap((each) => {
    const answer = environment.referenceAnswer(each.task, each.promptFormat);
    const { outcome, reward, parts } = environment.grade(each.task, answer, each);
    rewards.add(reward);
    const isSolved = outcome === environment.outcomes[0] && parts.format && parts.values && parts.solved;
    return isSolved ? [] : [`${nameTask(each)} is not solved by its reference answer: ${outcome}`];
  });
  return rewards.size === 1 ? broken : [...broken, "Reference answers do not all earn the same reward"];
};

/** Texts that no model should be trusted to avoid: random characters, and damaged reference answers. */
function drawAnswers(environment: Environment, each: Sample): readonly string[] {
  const random = createRandom(each.seed, "answers", each.split, each.promptFormat, each.index);
  const reference = environment.referenceAnswer(each.task, each.promptFormat);
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
    const reference = environment.referenceAnswer(each.task, each.promptFormat);
    const top = environment.grade(each.task, reference, each).reward;
    return drawAnswers(environment, each).flatMap((answer) =>
      [false, true].flatMap((compat) => {
        const grade = environment.grade(each.task, answer, { promptFormat: each.promptFormat, compat });
        const isSound =
          environment.outcomes.includes(grade.outcome) &&
          Number.isFinite(grade.reward) &&
          grade.feedback !== "" &&
          (grade.parts.solved ? grade.reward === top : grade.reward < top);
        return isSound ? [] : [`${nameTask(each)} has an unsound grade for ${JSON.stringify(answer)}`];
      }),
    );
  });

const promptsTellTasksApart: Clause = (environment) => {
  const seen = new Map<string, string>();
  return sample(environment).flatMap((each) => {
    const written = environment.prompt(each.task, each.promptFormat);
    const described = environment.describeTask(each.task);
    const other = seen.get(written) ?? described;
    seen.set(written, described);
    return other === described ? [] : [`${nameTask(each)} has the prompt of another task, ${other}`];
  });
};

function listCompactExamples(environment: Environment): readonly Example[] {
  const played = sample(environment).filter(({ promptFormat }) => promptFormat === "compact");
  const skills = Object.entries(environment.skills).flatMap(([skill, { draw }]) =>
    Array.from({ length: 200 }, (_, index) => draw(createRandom(index, skill))),
  );
  return [
    ...skills,
    ...played.flatMap(({ task, promptFormat }) => {
      const answer = environment.referenceAnswer(task, promptFormat);
      const retry = environment.retryPrompt(task, { promptFormat, attempts: [] });
      return [
        { prompt: environment.prompt(task, promptFormat), answer },
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

const skillsRepeat: Clause = (environment) =>
  Object.entries(environment.skills).flatMap(([skill, { draw }]) => {
    const drawn = [1, 1, 2, 3].map((seed) => JSON.stringify(draw(createRandom(seed, "skill"))));
    const broken = drawn[0] === drawn[1] ? [] : [`Skill "${skill}" draws differently from the same stream`];
    return new Set(drawn).size > 1 ? broken : [...broken, `Skill "${skill}" always draws the same example`];
  });

const attemptsArePositive: Clause = (environment) =>
  environment.promptFormats
    .filter((promptFormat: PromptFormat) => environment.numAttempts[promptFormat] < 1)
    .map((promptFormat) => `No attempts are allowed in ${promptFormat}`);

const splitsDiffer: Clause = (environment) =>
  environment.promptFormats.flatMap((promptFormat) => {
    const describe = (split: Split): string =>
      sample(environment)
        .filter((each) => each.split === split && each.promptFormat === promptFormat)
        .map(({ task }) => environment.prompt(task, promptFormat))
        .join("\n");
    return describe("id") === describe("ood") ? [`The splits are the same in ${promptFormat}`] : [];
  });

const clauses: readonly Clause[] = [
  tasksRepeat,
  referenceAnswersSolve,
  gradeIsTotal,
  promptsTellTasksApart,
  vocabularyCovers,
  skillsRepeat,
  attemptsArePositive,
  splitsDiffer,
];
