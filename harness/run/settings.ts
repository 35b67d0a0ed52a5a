import { availableParallelism } from "node:os";
import path from "node:path";
import { MeshproofError } from "../model/errors.ts";
import type { NamespaceMap } from "../model/own-policy.ts";
import type { Shard } from "../model/result.ts";
import { BROUGHT } from "../scenario/brought.ts";

/** Which cluster a run is on. The fields are the flags of `meshproof run`. */
export interface ClusterChoice {
  readonly kind: "embedded" | "kind" | "existing";
  readonly name?: string;
  readonly keep?: boolean;
  readonly istio?: string;
  readonly envoy?: string;
  readonly images?: string;
  readonly components?: "auto" | "images" | "source";
  readonly imageMirror?: string;
  readonly imageDigest?: Readonly<Record<string, string>>;
  readonly kubernetes?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly allowExec?: readonly string[];
  readonly revision?: string;
  readonly allowMeshWide?: boolean;
}

/** What a run is to do, known before it has a cluster. Everything has a default, so that `npx playwright test` needs none of it. */
export interface RunSettings {
  readonly cluster: ClusterChoice;
  /** The folder `scenarios`. */
  readonly scenarios: string;
  /** What file names in positions begin at; default the folder that holds the scenarios. */
  readonly project?: string;
  /** The repository's namespaces, with what each is in scenarios. */
  readonly namespaces?: NamespaceMap;
  /** A file that has all of them, as the process that started this run has loaded them. */
  readonly loaded?: string;
  /** Those that were selected; default all. */
  readonly ids?: readonly string[];
  /** Selected, and left to other runs: entries of known failures that name them are not for this one. */
  readonly elsewhere?: readonly string[];
  readonly profile: string;
  /** The folder of results; each run gets a folder in it. */
  readonly results: string;
  /** A file of known failures. */
  readonly knownFailures?: string;
  /** How long a step may take to agree, from its config being in force. */
  readonly limitMs: number;
  /** How long the proxies may take to have a step's config in force. */
  readonly inForceLimitMs: number;
  /** Scenarios whose steps wait longer are skipped; 30 s by default. */
  readonly maxWaitSeconds?: number;
  readonly shard?: Shard;
  /** How many scenarios run side by side: Playwright's workers. */
  readonly lanes?: number;
  /** When the command began, as `Date.now()`. */
  readonly startedAt?: number;
  /** How a person starts this run again. */
  readonly command?: string;
  /** The same for one scenario, with {@link SCENARIO} in its place. */
  readonly repeat?: string;
  /** For tests that import `meshproof/test`, which take the place of scenarios: the workloads that they need. */
  readonly tests?: { readonly workloads: readonly string[] };
  /** Where Playwright puts what it makes. */
  readonly outputDir?: string;
}

/** Stands for a scenario's id in a command. */
export const SCENARIO = "SCENARIO";

/** How long the proxies may take by default, in milliseconds: istiod waits 10 s at most for further changes (PILOT_DEBOUNCE_MAX). */
export const IN_FORCE_LIMIT_MS = 30_000;

/** How long a step may take by default, in milliseconds. */
export const LIMIT_MS = 10_000;

/** A lane more must be worth its start: the pods of another lane take as long as some scenarios. */
const FEW = 20;

/**
 * How many scenarios run side by side. By default two on an embedded cluster, where there are two cores and enough scenarios; it is
 * measured there and nowhere else. On a mesh of others it is one.
 */
export function lanesFor(
  { cluster: { kind }, lanes, ids }: Pick<RunSettings, "cluster" | "lanes" | "ids">,
  cores = availableParallelism(),
): number {
  if (kind === "existing") return 1;
  return lanes ?? (kind === "embedded" && cores > 1 && (ids?.length ?? Infinity) > FEW ? 2 : 1);
}

/** The environment variable by which `meshproof run` gives Playwright its settings, as JSON. */
export const SETTINGS_VARIABLE = "MESHPROOF_RUN";

/** The environment variable by which a config of tests (`meshproof/test`) gives its settings to Playwright's processes, as JSON. */
export const TESTS_VARIABLE = "MESHPROOF_TESTS";

/**
 * The environment variable of a run in which nearly everything fails on purpose: Playwright replaces a worker after each
 * failed test, which takes seconds, so no test is reported to it as failed. Meshproof's own results are the same.
 */
export const KEEP_WORKER_VARIABLE = "MESHPROOF_KEEP_WORKER";

/** The environment variable that names the cluster of `npx playwright test`. */
export const CLUSTER_VARIABLE = "MESHPROOF_CLUSTER";

const PROJECT = path.join(import.meta.dirname, "../..");

/**
 * The settings of this run: those of `meshproof run`, or the defaults with the cluster that `MESHPROOF_CLUSTER` names.
 * @throws MeshproofError ERR_USAGE where that variable is not understood
 */
export function readSettings(env: Readonly<Record<string, string | undefined>> = process.env): RunSettings {
  const given = env[SETTINGS_VARIABLE] ?? env[TESTS_VARIABLE];
  if (given !== undefined) return JSON.parse(given) as RunSettings;
  return {
    cluster: readCluster(env[CLUSTER_VARIABLE]),
    scenarios: BROUGHT,
    profile: "istio",
    results: path.join(PROJECT, "results"),
    limitMs: LIMIT_MS,
    inForceLimitMs: IN_FORCE_LIMIT_MS,
  };
}

/**
 * `NAME`: the kept embedded cluster of this name, or a new one that is kept; `kind/NAME` likewise; `existing/CONTEXT`: the
 * cluster of a kubeconfig's context.
 */
export function readCluster(text: string | undefined): ClusterChoice {
  if (text === undefined || text === "" || text === "embedded") return { kind: "embedded" };
  if (text === "kind") return { kind: "kind" };
  const [, kind = "embedded", name = ""] = /^(?:(embedded|kind|existing)\/)?(.+)$/s.exec(text) ?? [];
  if (kind === "existing") return { kind, context: name };
  if (!/^[a-z0-9-]+$/.test(name))
    throw new MeshproofError("ERR_USAGE", `${CLUSTER_VARIABLE} is "${text}"`, {
      hint: "expected NAME, kind/NAME or existing/CONTEXT",
    });
  return { kind: kind === "kind" ? "kind" : "embedded", name, keep: true };
}

/** What positions in reports are relative to: the folder of the config, or the one that holds the scenarios. */
export function projectOf({ project, scenarios }: Pick<RunSettings, "project" | "scenarios">): string {
  return project ?? path.dirname(scenarios);
}
