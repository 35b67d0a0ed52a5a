/** Reproduces a ticket in this process: translates it, sends its requests to a mesh, and builds the answer from the observations. */

import path from "node:path";
import { toHandle, type Cluster, type ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import type { ReproAnswer } from "../model/ticket.ts";
import type { Progress } from "../progress.ts";
import { sentence } from "../../reports/words.ts";
import { connect } from "../mesh/client.ts";
import { invalidScenarios, loadScenarios } from "../scenario/index.ts";
import { needsNewIstiod } from "../run/fresh-keys.ts";
import { againOn, keepTicket, removeKeptTicket } from "../run/kept-ticket.ts";
import { observeStep } from "../run/observe.ts";
import { IN_FORCE_LIMIT_MS } from "../run/settings.ts";
import { preflight } from "../run/preflight.ts";
import { openSession } from "../run/session.ts";
import { sweep } from "../run/sweep.ts";
import { setUpWorkloads } from "../run/workloads.ts";
import { readAnswer, type Wanted } from "./answer.ts";
import { minimize, sameAnswer } from "./minimize.ts";
import { isSame, reportersOf, withOther } from "./sidecars.ts";
import { stringifyObjects } from "./read-objects.ts";
import { keyServersOf, makeReady, placed, removableOf } from "./stage.ts";
import { translated } from "./read-ticket.ts";
import type { Ticket, Translation } from "./ticket.ts";
import { missingWaypoint } from "./waypoints.ts";
import { writeScenarios } from "./write-scenario.ts";

/** Maximum number of attempts of `--minimize`. */
const MOST_TRIES = 60;

/** The expectation in a ticket's scenario; only `observe` sends its requests, and that does not judge them. */
const ANYTHING = { status: 200, by: "workload" } as const;

export interface ReproTask {
  readonly ticket: Ticket;
  /** The files as the user named them. */
  readonly files: readonly string[];
  /** The command that repeats this. */
  readonly command: string;
  readonly version: string;
  /** The answer that the reporter expected, and the one they saw. */
  readonly wanted: Wanted;
  readonly minimize: boolean;
  /** Folder of meshproof's own scenarios. */
  readonly scenariosRoot: string;
}

/** The functions that the calling process provides. */
export interface ReproPlace {
  /** Returns the cluster; called once. `signal` aborts if the work is interrupted or the cluster is lost. */
  readonly open: () => Promise<{
    readonly cluster: Cluster;
    readonly signal: AbortSignal;
    /** Whether the cluster stays: then the ticket does until the next one, so that its requests can be sent again. */
    readonly stays: boolean;
  }>;
  /** Creates a folder that only this user can access and that is removed when the process ends. */
  readonly tempDir: () => string;
  readonly newId: () => string;
  readonly progress: Progress;
}

export interface Reproduced {
  readonly ticket: Ticket;
  readonly translation: Translation;
  readonly answer: ReproAnswer;
}

/**
 * Sends a ticket's requests to the mesh, and with `minimize` those of smaller and smaller tickets. Ends the cluster, or restores it.
 * @throws MeshproofError ERR_PROBE if there is no answer, ERR_MANIFEST_REJECTED, ERR_USAGE
 */
export async function repro(task: ReproTask, place: ReproPlace): Promise<Reproduced> {
  const translation = translated(task.files, task.ticket);
  const { cluster, signal, stays: clusterStays } = await place.open();
  await using stack = new AsyncDisposableStack();
  stack.use(cluster);
  const ready = cluster.ready();
  ready.catch(() => undefined); // reported where it is awaited
  try {
    const handle = await toHandle(cluster);
    refuseWaypoints(task.ticket, handle);
    let stays = false;
    stack.defer(async () => {
      if (!stays && !cluster.lost.aborted) await removeStandIn(translation, handle);
    });
    if (handle.ours) await removeKeptTicket(connect(handle.kubeconfig));
    const stage = { cluster, handle, ready, signal, place, keep: clusterStays && !task.minimize };
    const full = await askBothWays(task, stage);
    stays = stage.keep;
    return task.minimize ? await minimized(full, task, stage) : full;
  } catch (error) {
    cluster.lost.throwIfAborted();
    throw error;
  }
}

/** @throws MeshproofError ERR_MESH_SETTING before the mesh is changed, if the ticket has a waypoint and the mesh cannot have one */
function refuseWaypoints({ objects }: Ticket, { info }: Pick<ClusterHandle, "info">): void {
  const missing = missingWaypoint(objects, info);
  if (missing === undefined) return;
  const versions = Object.entries(info.versions).map(([name, version]) => `${name} ${version}`);
  throw new MeshproofError(
    "ERR_MESH_SETTING",
    `the ticket has the waypoint ${missing.namespace}/${missing.name}, and ${sentence({ kind: "no-waypoint" })} (${versions.join(", ")})`,
    { hint: "use a cluster with Envoy 1.38 or newer, such as meshproof up --envoy 1.40 --name tickets" },
  );
}

/** The mesh for a ticket's requests, used once or many times. */
interface Stage {
  readonly cluster: Cluster;
  readonly handle: ClusterHandle;
  /** Resolves when the gateway is ready. */
  readonly ready: Promise<void>;
  readonly signal: AbortSignal;
  readonly place: ReproPlace;
  /** Whether the ticket stays in the cluster. */
  readonly keep: boolean;
}

/** Asks once more without the sidecars that the ticket does not show, if one of them may have refused the request. */
async function askBothWays(task: ReproTask, stage: Stage): Promise<Reproduced> {
  const first = await ask(task, stage);
  const open = first.translation.topology.openSidecars;
  if (open.length === 0 || first.answer.verdict.by === "workload") return first;
  const again = async (sidecars: boolean): Promise<Reproduced> => {
    if (stage.keep) await removeKeptTicket(connect(stage.handle.kubeconfig));
    else await removeStandIn(first.translation, stage.handle);
    return await ask({ ...task, ticket: { ...task.ticket, sidecars } }, stage);
  };
  const second = await again(false);
  const told = reportersOf([first.answer, second.answer], task.wanted);
  if (told === first.answer) {
    const kept = stage.keep ? await again(true) : first;
    return { ...kept, answer: withOther(kept.answer, second.answer, open, true, "no") };
  }
  const decides = told === second.answer || isSame(first.answer, second.answer) ? "no" : "unknown";
  return { ...second, answer: withOther(second.answer, first.answer, open, false, decides) };
}

async function ask(task: ReproTask, { cluster, handle, ready, signal, place, keep }: Stage): Promise<Reproduced> {
  const { ticket } = task;
  const startedAt = Date.now();
  const translation = translated(task.files, ticket);
  const tempDir = place.tempDir();
  const root = path.join(tempDir, "scenarios");
  await writeScenarios(
    root,
    translation.id,
    translation.files,
    task.scenariosRoot,
    translation.scenario(() => ANYTHING),
  );
  const { scenarios, problems } = await loadScenarios(root, { base: tempDir });
  const [scenario] = scenarios;
  if (scenario === undefined || problems.length > 0) throw invalidScenarios(problems);
  const id = place.newId();
  const plan = {
    ...{ runId: id, startedAt, scenariosRoot: root, inForceLimitMs: IN_FORCE_LIMIT_MS, limitMs: 0 },
    ...{ podsDir: path.join(tempDir, "pods"), diagnosticsDir: path.join(tempDir, "diagnostics") },
    unchosenIsNote: true,
  };
  const opened = await openSession(plan, handle);
  const session = { ...opened, ...placed(opened, translation, ticket) };
  let stays = false;
  try {
    // An earlier run may have ended in the middle of a scenario.
    await Promise.all([sweep(session, scenarios), makeReady(session, translation)]);
    await setUpWorkloads(session, scenarios, { ...place, signal });
    const refusals = (await preflight(session, scenarios)).get(scenario);
    if (refusals)
      throw new MeshproofError(
        "ERR_MANIFEST_REJECTED",
        // The position is that of a translated file, which the user does not have.
        refusals
          .map(({ object, message }) => `${task.files.join(", ")}: the API server rejects ${object}: ${message}`)
          .join("\n"),
      );
    await ready;
    await cluster.setMesh(scenario.mesh, { restart: await needsNewIstiod(session, scenario) });
    place.progress("asking the mesh");
    const { kept, ...observed } = await observeStep(session, scenario, {
      keyServers: await keyServersOf(session, translation),
      services: translation.topology.services.filter(({ object }) => object?.spec?.["clusterIP"] !== "None"),
      keep,
      signal,
    });
    place.progress("every request has its answer");
    const { observations } = observed;
    if (keep) {
      const tokens = Object.entries(scenario.tokens);
      const made = await Promise.all(
        tokens.map(async ([name, spec]) => [name, (await session.tokens.mint(spec)).compact]),
      );
      await keepTicket(
        session.kube,
        [...removableOf(translation, handle), ...kept],
        Object.fromEntries(made) as Record<string, string>,
      );
      stays = true;
    }
    const asked = {
      ...{
        id,
        ...observed,
        observations: observations.map((one) =>
          keep ? { ...one, curl: againOn(cluster.name, one.curl, one.request.tokens) } : one,
        ),
        warnings: session.kube.objects.warnings.list(),
        command: task.command,
        versions: handle.info.versions,
      },
      ...{ tool: { name: "meshproof", version: task.version }, startedAt: new Date(startedAt).toISOString() },
    };
    return { ticket, translation, answer: readAnswer(asked, translation, ticket, task.wanted) };
  } finally {
    await (stays ? Promise.resolve() : sweep(session, scenarios)).finally(() => session.close());
  }
}

/** The smallest part of the ticket with the same answer, confirmed once more by itself; the whole ticket if that fails. */
async function minimized(full: Reproduced, task: ReproTask, stage: Stage): Promise<Reproduced> {
  const { progress } = stage.place;
  const quiet = { ...stage, place: { ...stage.place, progress: () => undefined } };
  const askAbout = (objects: Ticket["objects"]): Promise<Reproduced> =>
    ask({ ...task, ticket: { ...full.ticket, objects } }, quiet);
  let tries = 0;
  const found = await minimize(
    full.ticket.objects,
    async (objects) => {
      progress(`minimizing: try ${++tries} of at most ${MOST_TRIES}`);
      try {
        return sameAnswer(full.answer, (await askAbout(objects)).answer) ? "same" : "other";
      } catch (error) {
        // The rest cannot be translated, or the API server rejects it.
        const codes = ["ERR_PROBE", "ERR_USAGE", "ERR_SCENARIO_INVALID", "ERR_MANIFEST_REJECTED"];
        if (error instanceof MeshproofError && codes.includes(error.code)) return "refused";
        throw error;
      }
    },
    MOST_TRIES,
  );
  // Nothing from earlier attempts, such as a Service that was dropped, may influence it.
  progress("minimizing: once more what is left");
  await removeStandIn(full.translation, stage.handle);
  const left = await askAbout(found.objects);
  const { dropped, refused, complete } = found;
  const confirmed = sameAnswer(full.answer, left.answer);
  const kept = confirmed ? left : full;
  const yaml = stringifyObjects(kept.ticket.objects);
  return { ...kept, answer: { ...kept.answer, minimized: { confirmed, complete, tries, refused, dropped, yaml } } };
}

/** Removes the stand-in: on a kept cluster the policies of the next run would apply to it. */
async function removeStandIn(translation: Translation, handle: ClusterHandle): Promise<void> {
  const kube = connect(handle.kubeconfig);
  for (const manifest of removableOf(translation, handle).reverse()) await kube.objects.remove(manifest);
}
