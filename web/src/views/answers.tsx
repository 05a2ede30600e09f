/** Every task and every checkpoint: which were solved, and what was answered instead. */
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { type AnswersView, gradeLetters } from "../../../src/face/view/contract.ts";
import { useData } from "../data.ts";
import { type PageProps, Ready, Scroll } from "../page.tsx";
import { go } from "../route.ts";

const meanings: Readonly<Record<string, string>> = {
  [gradeLetters.solved]: "solved",
  [gradeLetters.wrongResult]: "result wrong",
  [gradeLetters.wrongValues]: "values wrong",
  [gradeLetters.wrongFormat]: "format wrong",
  [gradeLetters.incomplete]: "not complete",
};
const colorNames: Readonly<Record<string, string>> = {
  [gradeLetters.solved]: "--good",
  [gradeLetters.wrongResult]: "--ood",
  [gradeLetters.wrongValues]: "--bad",
  [gradeLetters.wrongFormat]: "--quiet",
  [gradeLetters.incomplete]: "--id",
};

/** The grades of every task at every checkpoint, and the answers to one of them. */
export function AnswersPage({ run, route }: PageProps): ReactNode {
  const loaded = useData<AnswersView>(route.run, "answers", !run.isFinished);
  return <Ready loaded={loaded}>{(answers) => <Answers answers={answers} run={run} route={route} />}</Ready>;
}

function Answers({ answers, run, route }: PageProps & { readonly answers: AnswersView }): ReactNode {
  const { trajectory } = run.summary;
  const peak = trajectory?.peak.checkpoint;
  const end = trajectory?.sftEnd.checkpoint;
  const { split = "ood", filter = "all", task } = route.choices;
  const choose = (choices: Readonly<Record<string, string>>): void =>
    go({ ...route, choices: { split, filter, ...choices } });
  const rows = useMemo(
    () =>
      answers.tasks.flatMap((one, index) => {
        if (one.split !== split) return [];
        const solved = (checkpoint: string | undefined): boolean =>
          checkpoint !== undefined && answers.grades[checkpoint]?.[index] === gradeLetters.solved;
        const isForgotten = solved(peak) && !solved(end);
        return filter === "forgotten" && !isForgotten ? [] : [index];
      }),
    [answers, split, filter, peak, end],
  );
  // Where nobody chose, a task that was forgotten says most.
  const forgotten = rows.find(
    (index) =>
      answers.grades[peak ?? ""]?.[index] === gradeLetters.solved &&
      answers.grades[end ?? ""]?.[index] !== gradeLetters.solved,
  );
  const chosen = rows.find((index) => String(index) === task) ?? forgotten ?? rows[0];
  return (
    <>
      <Controls split={split} filter={filter} onChoose={choose}>
        <span className="quiet" role="status">
          {rows.length} tasks
        </span>
        <span className="quiet">{describeIncomplete(answers, rows)}</span>
      </Controls>
      <Legend grades={answers.grades} />
      <GradeGrid
        answers={answers}
        rows={rows}
        chosen={chosen}
        onChoose={(index) => choose({ task: String(index) })}
      />
      {chosen === undefined ? (
        <p className="state">No task was solved at the peak and failed at the end.</p>
      ) : (
        <Task answers={answers} index={chosen} first={peak} second={route.choices.checkpoint ?? end} />
      )}
    </>
  );
}

interface ControlsProps {
  readonly split: string;
  readonly filter: string;
  readonly onChoose: (choices: Readonly<Record<string, string>>) => void;
  readonly children: ReactNode;
}

/** Which tasks are shown. */
function Controls({ split, filter, onChoose, children }: ControlsProps): ReactNode {
  return (
    <div className="controls">
      <label>
        tasks{" "}
        <select value={split} onChange={({ target }) => onChoose({ split: target.value })}>
          <option value="ood">OOD</option>
          <option value="id">ID</option>
        </select>
      </label>
      <label>
        show{" "}
        <select value={filter} onChange={({ target }) => onChoose({ filter: target.value })}>
          <option value="all">all</option>
          <option value="forgotten">solved at the peak, failed at the end of SFT</option>
        </select>
      </label>
      {children}
    </div>
  );
}

/** What the colors mean; where another tool graded, there are no grades on values and format. */
function Legend({ grades }: Pick<AnswersView, "grades">): ReactNode {
  const rows = Object.values(grades);
  const shown = Object.entries(meanings).filter(([letter]) =>
    rows.some((letters) => letters.includes(letter)),
  );
  return (
    <ul className="legend">
      {shown.map(([letter, meaning]) => (
        <li key={letter}>
          <i style={{ background: `var(${colorNames[letter]})` }} /> {meaning}
        </li>
      ))}
    </ul>
  );
}

/** How many answers of the tasks shown are not complete, and of which checkpoint most. */
function describeIncomplete({ grades }: AnswersView, rows: readonly number[]): string {
  const counts = Object.entries(grades).map(
    ([checkpoint, letters]) =>
      [checkpoint, rows.filter((index) => letters[index] === gradeLetters.incomplete).length] as const,
  );
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  const [most] = counts.sort(([, one], [, other]) => other - one);
  if (total === 0 || most === undefined) return "";
  return `${total} answers are not complete and count as wrong, most of ${most[0]}: ${most[1]} of ${rows.length}`;
}

interface GridProps {
  readonly answers: AnswersView;
  readonly rows: readonly number[];
  readonly chosen: number | undefined;
  readonly onChoose: (index: number) => void;
}

/** Tasks from left to right, checkpoints from top to bottom; drawn as pixels, since there may be tens of thousands. */
function GradeGrid({ answers, rows, chosen, onChoose }: GridProps): ReactNode {
  const place = useRef<HTMLCanvasElement>(null);
  const checkpoints = Object.keys(answers.grades);
  const [hover, setHover] = useState<string>("");
  const cell = Math.max(2, Math.min(10, Math.floor(900 / Math.max(1, rows.length))));
  const height = 14;
  useEffect(() => {
    const context = place.current?.getContext("2d");
    if (context === null || context === undefined) return;
    const style = getComputedStyle(document.documentElement);
    const fills = Object.fromEntries(
      Object.entries(colorNames).map(([letter, name]) => [letter, style.getPropertyValue(name)]),
    );
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    for (const [row, checkpoint] of checkpoints.entries())
      for (const [column, index] of rows.entries()) {
        context.fillStyle = fills[answers.grades[checkpoint]?.[index] ?? ""] ?? "transparent";
        context.fillRect(column * cell, row * height, cell - (cell > 3 ? 1 : 0), height - 2);
      }
    const column = rows.indexOf(chosen ?? -1);
    if (column >= 0) {
      context.strokeStyle = style.getPropertyValue("--text");
      context.lineWidth = 2;
      context.strokeRect(column * cell - 1, 0, cell + 1, checkpoints.length * height);
    }
  }, [answers, rows, cell, chosen, checkpoints]);
  const find = (event: {
    clientX: number;
    clientY: number;
    currentTarget: HTMLCanvasElement;
  }): readonly [number, number] => {
    const box = event.currentTarget.getBoundingClientRect();
    return [Math.floor((event.clientX - box.left) / cell), Math.floor((event.clientY - box.top) / height)];
  };
  const move = (step: number): void => {
    const next = rows[rows.indexOf(chosen ?? -1) + step];
    if (next !== undefined) onChoose(next);
  };
  return (
    <div className="grades">
      <ol aria-hidden="true">
        {checkpoints.map((checkpoint) => (
          <li key={checkpoint} style={{ height }}>
            {checkpoint}
          </li>
        ))}
      </ol>
      <Scroll label="Grid of grades">
        <canvas
          ref={place}
          width={Math.max(1, rows.length * cell)}
          height={checkpoints.length * height}
          tabIndex={0}
          role="slider"
          aria-label="Task, changed by the arrow keys"
          aria-valuemin={0}
          aria-valuemax={Math.max(0, rows.length - 1)}
          aria-valuetext={chosen === undefined ? "none" : `task ${answers.tasks[chosen]?.index}`}
          aria-valuenow={Math.max(0, rows.indexOf(chosen ?? -1))}
          title={hover}
          onMouseMove={(event) => {
            const [column, row] = find(event);
            const letter = answers.grades[checkpoints[row] ?? ""]?.[rows[column] ?? -1] ?? "";
            setHover(`task ${rows[column] ?? ""}, ${checkpoints[row] ?? ""}: ${meanings[letter] ?? ""}`);
          }}
          onClick={(event) => {
            const index = rows[find(event)[0]];
            if (index !== undefined) onChoose(index);
          }}
          onKeyDown={(event) => {
            if (event.key === "ArrowRight") move(1);
            if (event.key === "ArrowLeft") move(-1);
          }}
        />
      </Scroll>
    </div>
  );
}

interface TaskProps {
  readonly answers: AnswersView;
  readonly index: number;
  readonly first: string | undefined;
  readonly second: string | undefined;
}

/** One task: the prompt, a right answer, and what two checkpoints said, then all others. */
function Task({ answers, index, first, second }: TaskProps): ReactNode {
  const task = answers.tasks[index];
  const checkpoints = Object.keys(answers.grades);
  const main = [first, second].filter((one) => one !== undefined);
  if (task === undefined) return null;
  return (
    <section aria-label="Task" className="task">
      <h2>
        {task.split.toUpperCase()} task {task.index}
      </h2>
      <dl>
        <dt>prompt</dt>
        <dd>
          <code>{task.prompt}</code>
        </dd>
        <dt>a right answer</dt>
        <dd>
          <code>{task.reference}</code>
        </dd>
      </dl>
      <div className="beside">
        {main.map((checkpoint) => (
          <Answer key={checkpoint} answers={answers} checkpoint={checkpoint} index={index} />
        ))}
      </div>
      <details>
        <summary>All checkpoints</summary>
        {checkpoints.map((checkpoint) => (
          <Answer key={checkpoint} answers={answers} checkpoint={checkpoint} index={index} />
        ))}
      </details>
    </section>
  );
}

function Answer({
  answers,
  checkpoint,
  index,
}: {
  readonly answers: AnswersView;
  readonly checkpoint: string;
  readonly index: number;
}): ReactNode {
  const letter = answers.grades[checkpoint]?.[index] ?? "";
  return (
    <article>
      <h3>
        {checkpoint}{" "}
        <span style={{ color: `var(${colorNames[letter]})` }}>
          {meanings[letter]} ({answers.outcomes[checkpoint]?.[index]})
        </span>
      </h3>
      <code>{answers.answers[checkpoint]?.[index]}</code>
    </article>
  );
}
