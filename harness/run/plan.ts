import { readFileSync } from "node:fs";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import type { SkipFinding } from "../model/finding.ts";
import type { MeshSetting } from "../model/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import type { Inputs, Refusal } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import type { SigningKey } from "../tokens/keys.ts";

/** What a run is, for every process of it. */
export interface SessionPlan {
  readonly runId: string;
  /** When the command began, as `Date.now()`. */
  readonly startedAt: number;
  /** The folder `scenarios`. */
  readonly scenariosRoot: string;
  /** Where a worker leaves which pods it saw around each scenario. */
  readonly podsDir: string;
  /** Where each failure leaves what explains it: `diagnostics` in the results folder. */
  readonly diagnosticsDir: string;
  /** The keys of each issuer, where another process has made them. */
  readonly keys?: Readonly<Record<string, readonly SigningKey[]>>;
  /** How long a step may take to agree, from its config being in force. */
  readonly limitMs: number;
  /** How long the proxies may take to have a step's config in force. */
  readonly inForceLimitMs: number;
  /** How many scenarios run side by side at most; 1 where it is left out. */
  readonly lanes?: number;
  /** Whether lane 1 is for those alone that cannot run in any other. */
  readonly ownLane1?: boolean;
  /** A policy that chooses none of the judging pods is a note instead of an error: a ticket's policy may be at fault. */
  readonly unchosenIsNote?: boolean;
}

/** A cluster that has what the scenarios need: what Playwright's global setup hands to the workers and the reporter. Holds keys. */
export interface Ground {
  readonly plan: SessionPlan;
  readonly handle: ClusterHandle;
  /** Why a scenario cannot run here, by its id. */
  readonly skipped: Readonly<Record<string, SkipFinding>>;
  /** What the API server refuses of a scenario, by its id. */
  readonly refused: Readonly<Record<string, readonly Refusal[]>>;
  /** What happened before the scenarios, in order. */
  readonly steps: readonly { readonly title: string; readonly ms: number }[];
  readonly tool: { readonly name: string; readonly version: string };
  readonly inputs: Inputs;
  /** Both `Date.now()`. */
  readonly meshReadyAt: number;
  readonly workloadsReadyAt: number;
  /** The folder of this run's results. */
  readonly folder: string;
  /** Where workers note what they know of lanes: which is ready, and who was there last. */
  readonly lanesDir: string;
  /** Where global teardown says how the run ended. */
  readonly endingFile: string;
}

/** The environment variable that names the file of the {@link Ground}: mode 0600, in a folder of the run's own. */
export const GROUND_VARIABLE = "MESHPROOF_GROUND";

/** @throws MeshproofError ERR_USAGE where the global setup has not run */
export function readGround(): Ground {
  const file = process.env[GROUND_VARIABLE];
  if (!file) throw new MeshproofError("ERR_USAGE", `there is no cluster: ${GROUND_VARIABLE} is not set`);
  return JSON.parse(readFileSync(file, "utf8")) as Ground;
}

type Lanes = Pick<SessionPlan, "lanes" | "ownLane1">;

/** The lane of a worker, by its number from 0: its own where lane 1 is not for every scenario. */
export function laneOfWorker({ ownLane1 = false }: Lanes, worker: number): number {
  return worker + (ownLane1 ? 2 : 1);
}

/** All lanes that a run may use. */
export function lanesOf(plan: Lanes): number[] {
  return Array.from({ length: laneOfWorker(plan, (plan.lanes ?? 1) - 1) }, (_, index) => index + 1);
}

/** Whether a scenario needs no other mesh setting than Istio's default; the extension providers are always there. */
export function hasDefaultMesh(mesh: MeshSetting): boolean {
  return rankOf(mesh) === rankOf({});
}

/** The same text for the same setting; Istio's default comes first. */
function rankOf({
  jwksFetch = "istiod",
  jwksRefresh = "",
  pathNormalization = "BASE",
  multipleExtAuthz = false,
  gatewaySelectors = true,
  blockedJwksCidrs = [],
  trustDomainAliases = [],
}: MeshSetting): string {
  return [
    jwksFetch === "istiod" ? "0" : jwksFetch,
    jwksRefresh === "" ? "0" : jwksRefresh,
    multipleExtAuthz ? "1" : "0",
    gatewaySelectors ? "0" : "1",
    blockedJwksCidrs.length === 0 ? "0" : blockedJwksCidrs.join(),
    pathNormalization === "BASE" ? "0" : pathNormalization,
    trustDomainAliases.length === 0 ? "0" : trustDomainAliases.join(),
  ].join(" ");
}

/** Scenarios with the same mesh setting stand together, Istio's default first, so that a setting changes once per group. */
export function inRunOrder<S extends Pick<Scenario, "id" | "mesh">>(scenarios: readonly S[]): S[] {
  return [...scenarios].sort((a, b) => rankOf(a.mesh).localeCompare(rankOf(b.mesh)) || a.id.localeCompare(b.id));
}
