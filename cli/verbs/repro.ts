import { cp, mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { cacheRoot } from "../../clusters/components/cache.ts";
import { toHandle, type Cluster, type ClusterHandle } from "../../clusters/cluster.ts";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { IN_FORCE_LIMIT_MS } from "../../harness/run/plan.ts";
import {
  decodeToken,
  expectations,
  minimize,
  readAnswer,
  readClaims,
  readCurlLine,
  readObjects,
  readRequest,
  sameAnswer,
  slug,
  STAND_IN,
  stringifyObjects,
  translate,
  withPlaceholders,
  type ReproAnswer,
  type Ticket,
  type Translation,
} from "../../harness/repro/index.ts";
import type { RunResult } from "../../harness/model/result.ts";
import { ofFile, readUserFile } from "../../harness/user-file.ts";
import { formatAnswer, formatReproJson, prepareRepro, writeRepro } from "../../reports/repro.ts";
import { commandLine } from "../command-line.ts";
import { openCluster } from "../cluster.ts";
import { readScenarios, SCENARIOS } from "../context.ts";
import { work, type Work } from "../work.ts";
import { loadRunner } from "../runner.ts";
import { newRunId } from "./run.ts";
import { print, printJsonText } from "../streams.ts";

interface ReproOptions {
  readonly token?: string;
  readonly claims?: string;
  readonly request?: string;
  readonly curl?: string;
  readonly header: readonly string[];
  readonly expect?: "200" | "401" | "403";
  readonly jwks: Ticket["jwks"];
  readonly name?: string;
  readonly keep?: boolean;
  readonly json?: boolean;
  readonly minimize?: boolean;
  readonly export?: string;
  readonly results: string;
}

/** What a translated scenario needs beside its own files. */
const WORKLOADS = ["nginx-proxy", "outside", "outside-host", "sleep"];

/** No answer is expected of the mesh: a cell that agrees with nothing is explained, and none of them is a denial. */
const ASKED = { status: 299, by: "workload" } as const;

/** Some seconds each. */
const MOST_TRIES = 60;

/** So long a request may take to get its final answer after the proxies have the policies. */
const LIMIT_MS = 1_500;

/** @returns 0; 1 where `--expect` is given and the mesh answers otherwise */
export async function repro(files: readonly string[], options: ReproOptions): Promise<number> {
  return work(async (work) => {
    const ticket = await readTicket(files, options);
    if (options.export !== undefined) await refuseExisting(options.export);
    await using stack = new AsyncDisposableStack();
    const stage = openStage(translated(files, ticket), options, work, stack);
    const asked = { ...options, files, command: commandOf(files, options, ticket) };
    const full = await reproduce(ticket, asked, stage, work);
    const found = options.minimize === true ? await minimized(full, asked, stage, work) : full;
    const answer = prepareRepro(found.answer);
    const page = await writeRepro(answer, path.resolve(options.results, answer.id));
    const written = options.export === undefined ? [] : await exportTicket(options.export, found.translation, answer);
    work.clear();
    if (options.json === true) printJsonText(formatReproJson(answer));
    else print([formatAnswer(answer), "", `page: ${path.relative("", page.html)}`, ...written.slice(1)].join("\n"));
    return answer.expected?.met === false ? 1 : 0;
  });
}

interface Reproduced {
  readonly ticket: Ticket;
  readonly translation: Translation;
  readonly answer: ReproAnswer;
}

interface Asked extends ReproOptions {
  /** As they were named. */
  readonly files: readonly string[];
  /** How a person asks this again. */
  readonly command: string;
}

/** @throws MeshproofError ERR_PROBE where the mesh gave no answer, as what {@link translate} and the cluster throw */
async function reproduce(ticket: Ticket, options: Asked, stage: Stage, work: Work): Promise<Reproduced> {
  const translation = translated(options.files, ticket);
  const { result, handle } = await ask(translation, options.command, stage, work);
  const [scenario] = result.scenarios;
  if (scenario?.steps[0] === undefined)
    throw new MeshproofError("ERR_PROBE", `the ticket could not be reproduced: ${scenario?.reason ?? "nothing ran"}`);
  const expected = options.expect === undefined ? undefined : Number(options.expect);
  const spaces = { ns: handle.namespace, outside: handle.outsideNamespace };
  return { ticket, translation, answer: readAnswer(result, translation, ticket, expected, spaces) };
}

/** The smallest part of the ticket that the mesh answers alike, asked once more by itself; the ticket as it is where that fails. */
async function minimized(full: Reproduced, options: Asked, stage: Stage, work: Work): Promise<Reproduced> {
  let tries = 0;
  const found = await minimize(
    full.ticket.objects,
    async (objects) => {
      work.progress(`minimizing: try ${++tries} of at most ${MOST_TRIES}`);
      try {
        const { answer } = await reproduce({ ...full.ticket, objects }, options, stage, work);
        return sameAnswer(full.answer, answer) ? "same" : "other";
      } catch (error) {
        // What was left cannot be translated, or the API server refuses it.
        const codes = ["ERR_PROBE", "ERR_USAGE", "ERR_SCENARIO_INVALID", "ERR_MANIFEST_REJECTED"];
        if (error instanceof MeshproofError && codes.includes(error.code)) return "refused";
        throw error;
      }
    },
    MOST_TRIES,
  );
  // Nothing of the tries before, such as a Service that was dropped, may have a part in it.
  work.progress("minimizing: once more what is left");
  await stage.clear();
  const left = await reproduce({ ...full.ticket, objects: found.objects }, options, stage, work);
  const { dropped, refused, complete } = found;
  const confirmed = sameAnswer(full.answer, left.answer);
  const kept = confirmed ? left : full;
  const yaml = stringifyObjects(kept.ticket.objects);
  return { ...kept, answer: { ...kept.answer, minimized: { confirmed, complete, tries, refused, dropped, yaml } } };
}

/** @throws MeshproofError ERR_USAGE where the ticket's objects are not what their kinds say */
export function translated(files: readonly string[], ticket: Ticket): Translation {
  return ofFile(files.join(", "), () => translate(ticket));
}

/** @throws MeshproofError ERR_USAGE, without a word of a token */
async function readTicket(files: readonly string[], options: ReproOptions): Promise<Ticket> {
  const { request: line, curl, header, jwks } = options;
  if ((line === undefined) === (curl === undefined)) throw usage("name the request, by --request or by --curl");
  if (options.token !== undefined && options.claims !== undefined)
    throw usage("--token and --claims exclude each other");
  const asked = curl === undefined ? readRequest(line!, header) : readCurlLine(curl);
  const more = curl === undefined ? undefined : readRequest(`${asked.method} ${asked.path}`, header);
  const request =
    more === undefined
      ? asked
      : { ...asked, headers: [...asked.headers, ...more.headers], left: [...asked.left, ...more.left] };
  const compact = options.token === undefined ? request.token : await valueOf(options.token, "token");
  const token =
    options.claims !== undefined
      ? readClaims(await valueOf(options.claims, "claims"))
      : compact === undefined
        ? undefined
        : decodeToken(compact);
  const texts = (await Promise.all(files.map(readYaml))).flat();
  const objects = texts.flatMap(({ text, file }) => readObjects(text, file));
  if (objects.length === 0) throw usage("there is no Kubernetes object in what was given");
  const [first = "ticket"] = files;
  const name = slug(path.basename(path.resolve(first)).replace(/\.ya?ml$/, ""));
  const image = await readFile(path.join(SCENARIOS, "workloads/nginx-proxy/nginx-proxy.yaml"), "utf8");
  return {
    name,
    objects,
    request: ofFile(files.join(", "), () => withPlaceholders(request, objects)),
    jwks,
    image,
    ...(token === undefined ? {} : { token }),
  };
}

/**
 * How a person asks this again: what was read of the curl line instead of the line itself, which may hold passwords, and a
 * token without its signature, of which nothing is used.
 */
export function commandOf(
  files: readonly string[],
  { token, claims, expect, jwks, minimize, name }: ReproCommand,
  { request }: Pick<Ticket, "request">,
): string {
  const { method, path: target, host, headers } = request;
  const compact = token?.startsWith("@") === true ? token : (token ?? request.token);
  const unsigned =
    compact?.startsWith("@") === true ? compact : compact?.trim().replace(/^(?:Bearer +)?([^.]*\.[^.]*).*$/is, "$1.");
  return commandLine([
    ...["meshproof", "repro", ...files],
    ...["--request", `${method} ${host === undefined ? "" : `http://${host}`}${target}`],
    ...headers.flatMap(([header, value]) => ["--header", `${header}: ${value}`]),
    ...(claims !== undefined ? ["--claims", claims] : unsigned !== undefined ? ["--token", unsigned] : []),
    ...(expect === undefined ? [] : ["--expect", expect]),
    ...(jwks === "reachable" ? [] : ["--jwks", jwks]),
    ...(minimize === true ? ["--minimize"] : []),
    ...(name === undefined ? [] : ["--name", name]),
  ]);
}

type ReproCommand = Pick<ReproOptions, "token" | "claims" | "expect" | "jwks" | "minimize" | "name">;

/** The YAML of a file, or of the files directly in a folder. */
async function readYaml(file: string): Promise<{ readonly file: string; readonly text: string }[]> {
  const found = await stat(file).catch((cause: unknown) => {
    throw new MeshproofError("ERR_USAGE", `${file} cannot be read`, { cause });
  });
  const names = found.isDirectory()
    ? (await readdir(file)).filter((name) => /^[^.].*\.ya?ml$/.test(name)).map((name) => path.join(file, name))
    : [file];
  return await Promise.all(names.sort().map(async (name) => ({ file: name, text: await readUserFile(name) })));
}

async function valueOf(text: string, what: string): Promise<string> {
  if (!text.startsWith("@")) return text;
  return await readUserFile(text.slice(1), { what: `the ${what}` });
}

/** Writes the folder `scenarios` of a ticket. */
async function writeScenarios(root: string, { files, id }: Translation, scenario: string): Promise<void> {
  await cp(path.join(SCENARIOS, "issuers"), path.join(root, "issuers"), {
    recursive: true,
    filter: (file) => !/\/(corp|corp-next|partner)\.yaml$/.test(file),
  });
  for (const app of WORKLOADS)
    await cp(path.join(SCENARIOS, "workloads", app), path.join(root, "workloads", app), { recursive: true });
  for (const [file, text] of [...files, [`${id}/scenario.yaml`, scenario] as const]) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), text);
  }
}

/** Where a ticket is asked, once or many times. */
interface Stage {
  /** Opens the cluster when it is first asked for. */
  open(): Promise<Opened>;
  /** Takes the ticket's stand-in away. */
  clear(): Promise<void>;
}

interface Opened {
  readonly cluster: Cluster;
  readonly handle: ClusterHandle;
  /** The gateway's. */
  readonly ready: Promise<void>;
  readonly signal: AbortSignal;
}

/** @param stack ends what is opened, the stand-in first */
function openStage(
  translation: Translation,
  { name, keep }: ReproOptions,
  work: Work,
  stack: AsyncDisposableStack,
): Stage {
  let opened: Promise<Opened> | undefined;
  const open = async (): Promise<Opened> => {
    const { cluster, signal } = await openCluster(
      { cluster: "embedded", ...(name === undefined ? {} : { name }), keep: keep === true || name !== undefined },
      { id: newRunId(), verb: "repro" },
      work,
    );
    stack.use(cluster);
    const ready = cluster.ready();
    ready.catch(() => undefined); // told where it is awaited
    const handle = await toHandle(cluster);
    stack.defer(async () => {
      if (!cluster.lost.aborted) await removeStandIn(translation, handle);
    });
    return { cluster, handle, ready, signal };
  };
  return {
    open: () => (opened ??= open()),
    clear: async () => removeStandIn(translation, (await opened!).handle),
  };
}

/** Runs the ticket. */
async function ask(
  translation: Translation,
  command: string,
  stage: Stage,
  work: Work,
): Promise<{ readonly result: RunResult; readonly handle: ClusterHandle }> {
  const runId = newRunId();
  const tempDir = makeTempDir();
  const root = path.join(tempDir, "scenarios");
  await writeScenarios(
    root,
    translation,
    translation.scenario(() => ASKED),
  );
  const scenarios = await readScenarios(root, [], []);
  await using runner = loadRunner(
    {
      runId,
      startedAt: performance.timeOrigin,
      scenariosRoot: root,
      projectRoot: tempDir,
      ids: [translation.id],
      limitMs: LIMIT_MS,
      inForceLimitMs: IN_FORCE_LIMIT_MS,
      unchosenIsNote: true,
    },
    { tempDir, cacheDir: cacheRoot(), signal: work.signal },
  );
  const { cluster, handle, ready, signal } = await stage.open();
  const { playwright, runScenarios } = await runner.loaded;
  try {
    const result = await runScenarios({
      playwright,
      handle,
      setMesh: async (setting, how) => {
        await ready;
        await cluster.setMesh(setting, how);
      },
      scenarios,
      command,
      version: packageJson.version,
      startedAt: performance.timeOrigin,
      meshReadyAt: Date.now(),
      // No cell agrees with what was expected of it: none was.
      progress: (line) => work.progress(/^\[\d+\/\d+\]/.test(line) ? "every request has its answer" : line),
      signal,
    });
    const refusal = result.scenarios.find(({ refused }) => refused !== undefined);
    if (refusal !== undefined) throw new MeshproofError("ERR_MANIFEST_REJECTED", refusal.reason ?? "");
    return { result, handle };
  } catch (error) {
    cluster.lost.throwIfAborted();
    throw error;
  }
}

/** On a kept cluster it would answer to the policies of whoever comes next. */
async function removeStandIn({ files }: Translation, handle: ClusterHandle): Promise<void> {
  const [{ connect }, { parseManifests }] = await Promise.all([
    import("../../harness/mesh/client.ts"),
    import("../../harness/mesh/apply.ts"),
  ]);
  const text = files.get(`workloads/${STAND_IN}/${STAND_IN}.yaml`)!.replaceAll("${ns}", handle.namespace);
  const kube = connect(handle.kubeconfig);
  for (const manifest of parseManifests(text).reverse()) await kube.objects.remove(manifest);
}

async function refuseExisting(folder: string): Promise<void> {
  const there = await readdir(folder).catch(() => []);
  if (there.length > 0) throw usage(`${folder} is not empty, and nothing is overwritten`);
}

/** The scenario as a regression test, the answer, and what a person needs to repeat it. @returns lines that say what was written */
async function exportTicket(folder: string, translation: Translation, answer: ReproAnswer): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const root = path.join(folder, "scenarios");
  const kept = expectations(answer);
  await writeScenarios(root, translation, "expect" in kept ? translation.scenario(kept.expect) : "");
  if ("why" in kept) await rm(path.join(root, translation.id, "scenario.yaml"));
  await writeRepro(answer, folder);
  const versions = Object.entries(answer.versions).map(([name, version]) => `${name} ${version}`);
  await writeFile(path.join(folder, "answer.txt"), `${formatAnswer(answer)}\n`);
  await writeFile(
    path.join(folder, "requests.sh"),
    [
      `# Each request of the matrix; needs the stand-in and the policies in place, and a token of the scenario's in TOKEN.`,
      `# ${versions.join(", ")}`,
      ...answer.matrix.rows.flatMap(({ request, cells }) =>
        cells.flatMap(({ curl }, column) => ["", `# ${request} ${answer.matrix.columns[column]}`, curl]),
      ),
      "",
    ].join("\n"),
  );
  const shown = path.relative("", folder) || ".";
  return "why" in kept
    ? ["", `wrote ${shown}, without a scenario.yaml: ${kept.why}`]
    : [
        "",
        `wrote ${shown}`,
        `  meshproof run ${translation.id} --scenarios ${shown}/scenarios    # passes while the mesh answers like this`,
      ];
}

function usage(message: string): MeshproofError {
  return new MeshproofError("ERR_USAGE", message, { hint: "meshproof repro --help shows examples" });
}
