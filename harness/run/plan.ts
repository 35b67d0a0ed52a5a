import { readFileSync } from "node:fs";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import type { Scenario } from "../model/scenario.ts";

/** What a session knows of its run. */
export interface SessionPlan {
  readonly runId: string;
  /** When the command began, as `Date.now()`. */
  readonly startedAt: number;
  /** The folder `scenarios`. */
  readonly scenariosRoot: string;
  /** Where each scenario's result goes: `<partsDir>/<n>.json`. */
  readonly partsDir: string;
  /** Where each failure leaves what explains it; becomes `diagnostics` in the results folder. */
  readonly diagnosticsDir: string;
  /** Where the processes of the run share the keys they make; mode 0700. Without it they stay in one process. */
  readonly keyFolder?: string;
  /** How long a step may take to agree, from its config being in force. */
  readonly limitMs: number;
  /** How long the proxies may take to have a step's config in force. */
  readonly inForceLimitMs: number;
  /** A policy that chooses none of the judging pods is a note instead of an error: a ticket's policy may be at fault. */
  readonly unchosenIsNote?: boolean;
}

/** What a run is, known before it has a cluster: a file for the Playwright processes that do it. */
export interface RunPlan extends SessionPlan {
  /** Positions in reports are relative to it. */
  readonly projectRoot: string;
  readonly ids: readonly string[];
  /** Unix socket of the process that owns the cluster: gives the cluster once it is ready, takes mesh settings. */
  readonly controlSocket: string;
}

/** How long the proxies may take by default, in milliseconds: istiod waits 10 s at most for further changes (PILOT_DEBOUNCE_MAX). */
export const IN_FORCE_LIMIT_MS = 30_000;

/** What a run gets when its cluster is there. Holds a CA key. */
export interface Ground {
  readonly handle: ClusterHandle;
  /** Those of the plan that can run there. */
  readonly ids: readonly string[];
}

/** The environment variable that names the plan's file. */
export const PLAN_VARIABLE = "MESHPROOF_PLAN";

/**
 * The environment variable of a run in which nearly everything fails on purpose: Playwright replaces a worker after each
 * failed test, which takes seconds, so none is told to it as failed. Our own results are the same.
 */
export const KEEP_WORKER_VARIABLE = "MESHPROOF_KEEP_WORKER";

/** @throws ERR_USAGE where Playwright was started by itself. */
export function readPlan(): RunPlan {
  const file = process.env[PLAN_VARIABLE];
  if (!file) {
    throw new MeshproofError("ERR_USAGE", `scenarios need a cluster: ${PLAN_VARIABLE} is not set`, {
      hint: "start them with `meshproof run`, which starts or finds a cluster and then runs Playwright",
    });
  }
  return JSON.parse(readFileSync(file, "utf8")) as RunPlan;
}

/** Scenarios with the same mesh setting stand together, Istio's default first, so that a setting changes once per group. */
export function inRunOrder<S extends Pick<Scenario, "id" | "mesh">>(scenarios: readonly S[]): S[] {
  const rank = ({ mesh: { jwksFetch = "istiod", pathNormalization = "BASE", extAuthz = false } }: S): string =>
    [
      jwksFetch === "istiod" ? "0" : jwksFetch,
      pathNormalization === "BASE" ? "0" : pathNormalization,
      extAuthz ? "extAuthz" : "0",
    ].join(" ");
  return [...scenarios].sort((a, b) => rank(a).localeCompare(rank(b)) || a.id.localeCompare(b.id));
}
