/** Reads scenario folders, and finds every mistake that can be found without a cluster, all at once. */

import { basename, dirname, join, relative, resolve, sep } from "node:path";
import validRange from "semver/ranges/valid.js";
import type { Node } from "yaml";
import { readIssuers } from "../tokens/issuer.ts";
import type { Issuer, TokenSpec } from "../model/token.ts";
import { readAdmission } from "./admission.ts";
import { issuersDirsOf } from "./brought.ts";
import { expandChecks } from "./expand.ts";
import { FILE, idsIn, readIfThere, readManifests, workloadNames } from "./folders.ts";
import { checkManifest, namesIn, pickManifest, readManifest } from "./manifest.ts";
import { readSource, type SourceText } from "../policies/source.ts";
import { translatePolicies } from "../policies/translate.ts";
import { scenarioFile, type OwnPolicies } from "../model/scenario-file.ts";
import { didYouMean, type Problem, sortProblems } from "./problem.ts";
import { renameOldKeys } from "./renamed.ts";
import { checkToken, checkVariants, findIssuer } from "./token-problems.ts";
import { validate } from "./validate.ts";
import { entriesOf, itemsOf, kindOf, parseSource, startOf, textOf, valueOf } from "./source.ts";
import type { ManifestFile } from "../model/manifest.ts";
import type { NamespaceMap } from "../model/own-policy.ts";
import type { AskedSpec, Scenario, StepSpec } from "../model/scenario.ts";

/** The names that a scenario may refer to. */
export interface Surroundings {
  /** Folders of scenarios/workloads. */
  readonly workloads: readonly string[];
  readonly issuers: ReadonlyMap<string, Issuer>;
  /** Text of the manifests of the scenario's folder, by file name. */
  readonly manifests: ReadonlyMap<string, string>;
  /** Reads policies from elsewhere in the repository. */
  readonly readOwn?: (source: OwnPolicies) => SourceText;
  /** Of the repository's namespaces: for those that the scenario does not map itself. */
  readonly namespaces?: NamespaceMap;
}

export interface LoadOptions {
  /** The base of file names in positions; default the parent of `root`. */
  readonly base?: string;
  readonly namespaces?: NamespaceMap | undefined;
  /** Ids of folders that exist: only these are read. */
  readonly only?: readonly string[] | undefined;
}

export interface Loaded {
  /** The scenarios without a problem, sorted by id. */
  readonly scenarios: Scenario[];
  readonly problems: Problem[];
  /** Old names that are still accepted. */
  readonly warnings: Problem[];
}

/**
 * Loads every `<group>/<name>/scenario.yaml` below a folder, and collects all problems.
 * @param root the folder `scenarios`; its `workloads` and `issuers`, which replace those that meshproof brings, are not groups
 */
export async function loadScenarios(
  root: string,
  { base = dirname(join(root)), namespaces = {}, only }: LoadOptions = {},
): Promise<Loaded> {
  const nameFile = nameFileOf(base);
  const { issuers, problems } = await readIssuers(issuersDirsOf(root), nameFile);
  const workloads = await workloadNames(root);
  const scenarios: Scenario[] = [];
  const warnings: Problem[] = [];
  for (const id of only ?? (await idsIn(root))) {
    const folder = join(root, id);
    const text = await readIfThere(join(folder, FILE));
    if (text === undefined) {
      const position = { file: nameFile(folder), line: 1, column: 1 };
      problems.push({ position, message: `the folder has no ${FILE}` });
      continue;
    }
    const loaded = await loadFolder(folder, text, { base, workloads, issuers, namespaces });
    if (loaded.problems.length === 0) scenarios.push(loaded.scenario!);
    problems.push(...loaded.problems);
    warnings.push(...loaded.warnings);
  }
  return { scenarios, problems: sortProblems(problems), warnings };
}

/**
 * Loads one scenario whose text is not in its file, or not yet. Its manifests are those of its folder, if there is one.
 * @param folder `…/<group>/<name>`
 */
export async function loadUnsaved(
  root: string,
  folder: string,
  text: string,
  { base = dirname(join(root)), namespaces = {} }: LoadOptions = {},
): Promise<Loaded> {
  const { issuers, problems: strange } = await readIssuers(issuersDirsOf(root), nameFileOf(base));
  const around = { base, workloads: await workloadNames(root), issuers, namespaces };
  const { scenario, problems, warnings } = await loadFolder(folder, text, around);
  const isSound = problems.length === 0 && scenario !== undefined;
  return { scenarios: isSound ? [scenario] : [], problems: sortProblems([...strange, ...problems]), warnings };
}

async function loadFolder(
  folder: string,
  text: string,
  { base, ...around }: Pick<Surroundings, "workloads" | "issuers" | "namespaces"> & { readonly base: string },
): Promise<ReturnType<typeof parseScenario>> {
  const manifests = await readManifests(folder);
  const readOwn = (source: OwnPolicies): SourceText => readSource(source, resolve(folder), nameFileOf(resolve(base)));
  return parseScenario(text, nameFileOf(base)(join(folder, FILE)), { ...around, manifests, readOwn });
}

function nameFileOf(base: string): (path: string) => string {
  return (path) => relative(base, path).split(sep).join("/");
}

/**
 * Parses one scenario file; `scenario` is undefined if there are problems.
 * @param file `…/<group>/<name>/scenario.yaml`, as positions name it
 */
export function parseScenario(
  text: string,
  file: string,
  { workloads, issuers, manifests, readOwn, namespaces: usual = {} }: Surroundings,
): { scenario?: Scenario; problems: Problem[]; warnings: Problem[] } {
  const source = parseSource(text, file);
  const problems: Problem[] = [...source.problems];
  const report = (at: Node, message: string, hint?: string): void =>
    void problems.push({ position: source.positionAt(startOf(at)), message, ...(hint !== undefined && { hint }) });
  const [document, second] = source.documents;
  if (second !== undefined) report(second.contents!, "a scenario file holds one document");
  if (problems.length > 0) return { problems, warnings: [] };
  const root = document?.contents;
  const warnings = renameOldKeys(root, source);
  const shapeProblems = validate(source, root, scenarioFile, "the scenario");
  problems.push(...shapeProblems.map(({ offset: _, ...problem }) => problem));
  /** Further rules are checked only on parts that match the schema. */
  const isSound = (node: Node): boolean => {
    const [start, , end] = node.range!;
    return !shapeProblems.some(({ offset }) => offset >= start && offset < end);
  };

  const folder = dirname(file);
  const metadata = valueOf(root, "metadata");
  const spec = valueOf(root, "spec");
  const name = valueOf(metadata, "name");
  if (name !== undefined && isSound(name) && textOf(name) !== basename(folder))
    report(name, `metadata.name is "${textOf(name)}" in the folder "${basename(folder)}"`, "they must be the same");
  const istio = valueOf(metadata, "istio");
  if (istio !== undefined && isSound(istio) && validRange(textOf(istio)) === null)
    report(istio, `"${textOf(istio)}" is not a range of versions`, "such as >=1.29, or >=1.27 <1.30");
  for (const workload of itemsOf(valueOf(spec, "workloads")))
    if (!workloads.includes(textOf(workload)))
      report(
        workload,
        `unknown workload "${textOf(workload)}"`,
        didYouMean(textOf(workload), workloads, `there are ${workloads.join(", ")}`),
      );

  const tokens = entriesOf(valueOf(spec, "tokens"));
  for (const { key, keyNode, value } of tokens) {
    if (key === "none") report(keyNode, 'the name "none" means no token');
    if (isSound(value)) checkToken(value, issuers, report);
  }

  const requests = new Map(
    entriesOf(valueOf(spec, "requests"))
      .filter(({ value }) => isSound(value))
      .map(({ key, value }) => [key, value as Node]),
  );
  const tokenNames = tokens.map(({ key }) => key);
  const files = new Map(
    [...manifests].flatMap(([each, content]) =>
      each === FILE ? [] : [[each, readManifest(content, `${folder}/${each}`)] as const],
    ),
  );
  const namespaces = { ...usual, ...(valueOf(spec, "namespaces")?.toJSON() as NamespaceMap | undefined) };
  const own = new Map<string, ReturnType<typeof translatePolicies>>();
  const pickOwn = (node: Node): ManifestFile[] => {
    const position = source.positionAt(startOf(node));
    const entry = kindOf(node) === "text" ? { path: textOf(node) } : (node.toJSON() as OwnPolicies);
    const key = JSON.stringify(entry);
    let found = own.get(key);
    if (found === undefined) {
      const read = readOwn?.(entry) ?? { message: "policies of a repository are not read here" };
      if ("message" in read) {
        report(node, read.message, read.hint);
        return [];
      }
      found = translatePolicies(read.text, read.file, entry, { namespaces, issuers });
      own.set(key, found);
      problems.push(...found.problems);
    }
    return [{ ...found.manifest, position }];
  };
  const steps: StepSpec[] = [];
  for (const step of itemsOf(valueOf(spec, "steps"))) {
    if (!isSound(step)) continue;
    const stepName = valueOf(step, "name")!;
    if (steps.some((earlier) => earlier.name === textOf(stepName)))
      report(stepName, `the step name "${textOf(stepName)}" is used twice in this scenario`);
    const expanded = expandChecks(valueOf(step, "checks"), source, tokenNames, requests);
    problems.push(...expanded.problems);
    const asked = itemsOf(valueOf(step, "jwksFetchedBy"));
    if (asked.length > 0 && expanded.checks.length === 0)
      report(asked[0]!, "jwksFetchedBy needs a check in its step", "without a request no keys are fetched");
    const pick = (key: "apply" | "delete"): ManifestFile[] =>
      filesOf(valueOf(step, key)).flatMap((node) =>
        isOwn(node) ? pickOwn(node) : pickManifest(node, files, source, problems),
      );
    // An object that the scenario did not apply may be another user's, and the run would delete it.
    const applied = new Set(steps.flatMap((earlier) => earlier.apply.flatMap(namesIn)));
    for (const node of filesOf(valueOf(step, "delete")))
      for (const object of (isOwn(node) ? pickOwn(node) : [files.get(textOf(node))?.manifest ?? []].flat()).flatMap(
        namesIn,
      ))
        if (!applied.has(object))
          report(
            node,
            `${object} is deleted, and no earlier step of this scenario applies it`,
            "a scenario may delete only its own objects",
          );
    const admission = readAdmission(
      valueOf(step, "apiServer"),
      source,
      (node) => pickManifest(node, files, source, problems),
      problems,
    );
    steps.push({
      name: textOf(stepName),
      position: source.positionAt(startOf(stepName)),
      apply: pick("apply"),
      delete: pick("delete"),
      ...inForceOf(valueOf(step, "inForce")),
      ...keysOf(valueOf(step, "keysOf"), issuers, report),
      ...timesOf(step),
      checks: expanded.checks,
      matrices: expanded.matrices,
      ...(admission.length > 0 && { admission }),
      asked: asked.map((node) => ({
        ...(node.toJSON() as Omit<AskedSpec, "position">),
        position: source.positionAt(startOf(node)),
      })),
    });
  }
  const specs = valueOf(spec, "tokens")?.toJSON() as Record<string, TokenSpec> | undefined;
  problems.push(...checkVariants(steps, specs ?? {}, issuers));
  const timed = tokens.some(({ value }) => RELATIVE.some((key) => valueOf(value, key) !== undefined));
  checkTimes(itemsOf(valueOf(spec, "steps")).filter(isSound), timed, report);
  for (const file of files.values()) problems.push(...checkManifest(file, issuers));
  if (problems.length > 0) return { problems: sortProblems(problems), warnings };

  const read = root!.toJSON() as {
    metadata: Pick<Scenario, "title" | "source" | "level" | "knownFailure"> &
      Partial<Pick<Scenario, "features" | "tags" | "istio">>;
    spec: Pick<Scenario, "workloads"> & Partial<Pick<Scenario, "mesh" | "tokens">>;
  };
  const { title, source: origin, level, features = [], tags = [], istio: range, knownFailure } = read.metadata;
  const { workloads: used, mesh = {}, tokens: tokenSpecs = {} } = read.spec;
  const scenario: Scenario = {
    id: `${basename(dirname(folder))}/${basename(folder)}`,
    title,
    source: origin,
    level,
    features: own.size === 0 ? features : [...new Set([...features, ...featuresOf(steps)])],
    tags,
    ...(range !== undefined && { istio: range }),
    ...(knownFailure && { knownFailure }),
    position: source.positionAt(startOf(name)),
    workloads: used,
    mesh,
    tokens: tokenSpecs,
    steps,
  };
  return { scenario, problems: [], warnings };
}

/** What gives a token a time that `at` and `until` are about. */
const RELATIVE = ["expiresIn", "notBefore", "issuedAt"];

/**
 * That `at` and `until` of the steps can be met, and mean something.
 * @param timed whether a token of the scenario has a time
 */
function checkTimes(
  steps: readonly Node[],
  timed: boolean,
  report: (at: Node, message: string, hint?: string) => void,
): void {
  let reached = 0;
  for (const step of steps) {
    const { at, until } = timesOf(step);
    const node = valueOf(step, "until") ?? valueOf(step, "at");
    if (node === undefined) continue;
    if (!timed)
      report(node, "no token of this scenario has a time", "give one expiresIn, notBefore or issuedAt, in seconds");
    if (at !== undefined && at < reached)
      report(valueOf(step, "at")!, `an earlier step is at ${reached}s`, "steps run in order");
    reached = Math.max(reached, at ?? 0);
    if (until !== undefined && until <= reached)
      report(valueOf(step, "until")!, `the requests are sent at ${reached}s`, "`until` must be later than `at`");
  }
}

/** Seconds of `at` and `until`. */
function timesOf(step: Node): Pick<StepSpec, "at" | "until"> {
  const [at, until] = [valueOf(step, "at"), valueOf(step, "until")];
  return {
    ...(at !== undefined && { at: Number.parseInt(textOf(at), 10) }),
    ...(until !== undefined && { until: Number.parseInt(textOf(until), 10) }),
  };
}

function keysOf(
  node: Node | undefined,
  issuers: ReadonlyMap<string, Issuer>,
  report: (at: Node, message: string, hint?: string) => void,
): Pick<StepSpec, "keysOf"> {
  return node !== undefined && findIssuer(node, issuers, report) ? { keysOf: textOf(node) } : {};
}

/** Whether an entry is of the repository: anything but the name of a file in the scenario's folder. */
function isOwn(node: Node): boolean {
  return kindOf(node) !== "text" || textOf(node).includes("/");
}

/** What policies of a repository need of the cluster for their keys: their authors cannot know it. */
function featuresOf(steps: readonly StepSpec[]): Scenario["features"] {
  const uses = steps.flatMap(({ apply }) => apply.flatMap((file) => file.uses));
  return uses.some(({ via }) => via !== undefined) ? ["outside-host"] : [];
}

function filesOf(node: Node | undefined): Node[] {
  return node === undefined ? [] : kindOf(node) === "list" ? itemsOf(node) : [node];
}

/** The value was checked against the schema before. */
function inForceOf(node: ReturnType<typeof valueOf>): Pick<StepSpec, "inForce"> {
  return node === undefined ? {} : { inForce: textOf(node) as NonNullable<StepSpec["inForce"]> };
}
