/**
 * Kubernetes by manifests: a submission is an Indexed Job, written down for a person to hand over. Its pods are known by the result
 * files that they leave; the cluster itself is not asked.
 */
import { isAbsolute, join } from "node:path";
import type { IJob } from "kubernetes-models/batch/v1";
import { stringify } from "yaml";
import { quoteForShell, setting, UsageError } from "../../../base/core/index.ts";
import { fileExists, writeFileAtomic } from "../../../base/file/index.ts";
import type { Executor, PackState, PlacedSubmission } from "../executor.ts";
import type { Profile } from "../profile.ts";
import { toMebibytes } from "../resources.ts";

/** How manifests are written. */
export interface KubernetesOptions {
  readonly profile: Profile;
  /** As of `SlurmOptions`, with a program that the image has. */
  readonly command: readonly string[];
  /** Variables that processes must have. */
  readonly environment: Readonly<Record<string, string>>;
}

/** The executor. What it is to write may be refused, as `writeManifest` says. */
export function createKubernetesExecutor(options: KubernetesOptions): Executor {
  return {
    name: "kubernetes",
    byHand: {
      start: (submission) => `kubectl apply --filename ${quoteForShell(locateManifest(submission))}`,
      end: (submission) =>
        `kubectl delete --ignore-not-found --filename ${quoteForShell(locateManifest(submission))}`,
    },
    submit: async (submission) =>
      await writeFileAtomic(locateManifest(submission), writeManifest(submission, options)),
    describe: async (submission) => writeManifest(submission, options),
    poll: async (submissions) =>
      await Promise.all(
        submissions.map((submission) =>
          Promise.all(submission.packs.map((pieces) => readState(submission, pieces))),
        ),
      ),
    // Whoever cancels is told how.
    cancel: async () => undefined,
    // kubectl has them.
    logs: async () => "",
    close: async () => undefined,
  };
}

function locateManifest({ folder, number }: PlacedSubmission): string {
  return join(folder, `kubernetes-${number}.yaml`);
}

/** A pack has ended when each of its pieces has a result, or a reason why not. */
async function readState({ folder }: PlacedSubmission, pieces: readonly number[]): Promise<PackState> {
  const has = async (kind: "results" | "failures"): Promise<readonly boolean[]> =>
    await Promise.all(pieces.map((piece) => fileExists(join(folder, kind, `${piece}.json`))));
  const [results, failures] = [await has("results"), await has("failures")];
  if (results.every(Boolean)) return { kind: "ended", cause: "completed" };
  return results.every((isDone, index) => isDone || failures[index] === true)
    ? { kind: "ended", cause: "failed" }
    : { kind: "waiting", reason: "kubectl get pods knows more" };
}

/**
 * The manifest as YAML. Throws `UsageError` where the profile names no image, no volume that holds what processes read and write, or
 * GPUs by their kind.
 */
function writeManifest(submission: PlacedSubmission, options: KubernetesOptions): string {
  const { image, volumes, gpus = "0" } = options.profile;
  if (image === undefined)
    throw new UsageError(
      `Cannot write a manifest without an image: name one that has Node 20.19 or later, as in ${setting("profile", "image=node:22")}`,
    );
  if (!/^\d+$/.test(gpus))
    throw new UsageError(
      `Cannot write gpus "${gpus}" into a manifest: Kubernetes takes their number, as in 1`,
    );
  const paths = [submission.folder, process.cwd(), ...options.command.filter((word) => isAbsolute(word))];
  const outside = paths.find((path) => !volumes.some((volume) => `${path}/`.startsWith(`${volume.path}/`)));
  if (outside !== undefined)
    throw new UsageError(
      `Cannot write a manifest: "${outside}" is in no volume of the pods; name its claim and where it is mounted, as in ${setting("profile", "volumes=shared-claim:/shared")}`,
    );
  return stringify(describeIndexedJob(submission, { ...options, image }), {
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
}

/** The manifest as data (Kubernetes API, batch/v1). A pack is a completion index. */
function describeIndexedJob(
  { job, made, folder, number, packs, resources }: PlacedSubmission,
  { profile, command, environment, image }: KubernetesOptions & { readonly image: string },
): IJob {
  const { namespace, gpus, atMost, time, scratch, volumes, before } = profile;
  const labels = { "app.kubernetes.io/name": "untwist", "untwist-job": job };
  const memory = `${toMebibytes(resources.bytes)}Mi`;
  const disk = scratch === undefined ? {} : { "ephemeral-storage": `${toMebibytes(scratch)}Mi` };
  const line = [...command, folder, String(number)].map(quoteForShell).join(" ");
  const script = [...before, `exec ${line} "$JOB_COMPLETION_INDEX"`].join("\n");
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: `untwist-${job}-${made}-${number}`.toLowerCase(),
      ...(namespace !== undefined && { namespace }),
      labels,
    },
    spec: {
      completionMode: "Indexed",
      completions: packs.length,
      parallelism: Math.min(atMost ?? packs.length, packs.length),
      // A pack that fails has said why: trying again is for a person to ask.
      backoffLimitPerIndex: 0,
      // One whose node dies, or that makes room for others, has not failed.
      podFailurePolicy: {
        rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] }],
      },
      // A day, for whoever wants to see the logs.
      ttlSecondsAfterFinished: 86_400,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: "Never",
          ...(time !== undefined && { activeDeadlineSeconds: time }),
          // Files on the volumes stay this user's.
          securityContext: { runAsUser: process.getuid?.() ?? 0, runAsGroup: process.getgid?.() ?? 0 },
          containers: [
            {
              name: "untwist",
              image,
              workingDir: process.cwd(),
              command: ["/bin/sh", "-c", escapeReferences(script)],
              env: Object.entries(environment).map(([name, value]) => ({
                name,
                value: escapeReferences(value),
              })),
              resources: {
                requests: { cpu: String(resources.cores), memory, ...disk },
                limits: { memory, ...(gpus !== undefined && { "nvidia.com/gpu": gpus }) },
              },
              volumeMounts: volumes.map(({ path }, index) => ({ name: `volume-${index}`, mountPath: path })),
            },
          ],
          volumes: volumes.map(({ claim }, index) => ({
            name: `volume-${index}`,
            persistentVolumeClaim: { claimName: claim },
          })),
        },
      },
    },
  };
}

/** Kubernetes reads `$(NAME)` in commands and variables as a reference, and `$$` as a dollar. */
function escapeReferences(text: string): string {
  return text.replaceAll(/\$(?=[$(])/g, "$$$$");
}
