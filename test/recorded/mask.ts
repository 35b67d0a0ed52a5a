/**
 * Replaces what differs between two recordings of the same thing: times, ids, addresses, ports, hashes, keys and the folders of
 * the machine. What is left depends on the scenarios, the mesh and meshproof alone.
 */

import { createHash } from "node:crypto";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

export interface MaskOptions {
  /** Of the run, ticket or upgrade. */
  readonly id: string;
  /** ISO 8601; when it began. */
  readonly startedAt: string;
  /** The pods of which results tell; others are on the cluster or not. */
  readonly pods?: RegExp;
}

/** Milliseconds by field, near what a quiet machine shows. Others become 100. */
const TIMES: Readonly<Record<string, number>> = {
  inForceMs: 120,
  probeMs: 90,
  meshReadyMs: 8100,
  workloadsReadyMs: 11_200,
  firstVerdictMs: 12_400,
  durationMs: 800,
  // Of an upgrade's phases and gaps.
  forMs: 110,
  longestMs: 110,
};
const APPLY_MS = 40;
const RUN_MS = 95_000;
const STEP_MS = 260;
const ANSWER_MS = 2.4;
const PHASE_REQUESTS = 300;
const RELAPSE_MS = 1310;
/** Of a step that did not settle at once. */
const MANY_ROUNDS = 12;

/** Masks a result, an answer to a ticket or an upgrade. Doing it twice changes nothing. */
export function mask<Data>(data: Data, options: MaskOptions): Data {
  return maskValue(data as Json, "", {}, options) as Data;
}

function maskValue(value: Json, key: string, holder: JsonObject, options: MaskOptions): Json {
  if (typeof value === "string") return maskString(value, key, options);
  if (typeof value === "number") return maskNumber(value, key, holder);
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => maskValue(item, key, holder, options));
  if (value === null || typeof value !== "object") return key === "rootless" ? false : value;
  const object = "perPhase" in value ? maskStream(value) : (value as JsonObject);
  const entries = Object.entries(object)
    .filter(([name]) => name !== "stale" && name !== "verified" && !(name === "text" && isForPeople(object)))
    .map(([name, inner]) => [name, maskField(name, inner, object, options)] as const);
  return Object.fromEntries(entries);
}

function maskField(name: string, value: Json, holder: JsonObject, options: MaskOptions): Json {
  if (name === "perPhase") return maskPhases(value as readonly JsonObject[]);
  if (name === "changes" && holder["got"] !== undefined) return maskChanges(value as readonly JsonObject[], holder);
  if (name === "proxies") return maskProxies(value as readonly string[], options);
  if (name === "digests") return maskDigests(value as JsonObject);
  if (typeof value === "object" && value !== null && "rootless" in value)
    return { ...(maskValue(value, name, holder, options) as JsonObject), name: "meshproof" };
  if (name === "inputs") return Object.fromEntries(Object.keys(value as JsonObject).map((key) => [key, key]));
  return maskValue(value, name, holder, options);
}

/** How many requests a stream of an upgrade sent depends on the machine, which of them failed on chance. */
function maskPhases(phases: readonly JsonObject[]): Json {
  return phases.map((phase) => ({ ...phase, sent: PHASE_REQUESTS, right: PHASE_REQUESTS }));
}

function maskStream(stream: JsonObject): JsonObject {
  const requests = (stream["perPhase"] as readonly Json[]).length * PHASE_REQUESTS;
  const gap = { ...(stream["longestGap"] as JsonObject), phases: ["gateway"], sent: 1 };
  return { ...stream, sent: requests, due: requests, right: requests, longestGap: gap, failures: [] };
}

/** When an answer changed is chance: of a check that passed it is left out, of the others the rounds are set. */
function maskChanges(changes: readonly JsonObject[], check: JsonObject): Json {
  if (check["status"] === "passed") return [];
  return changes.map((change, index) => ({
    ...change,
    round: (MANY_ROUNDS / 2) * (index + 1),
    atMs: (RELAPSE_MS / 2) * (index + 1),
  }));
}

/** Their order depends on the hashes in their names. */
function maskProxies(proxies: readonly string[], options: MaskOptions): Json {
  const { pods } = options;
  const kept = proxies.filter((proxy) => pods === undefined || pods.test(proxy));
  return kept.map((proxy) => maskString(proxy, "", options)).sort();
}

/** The sentences that results carry for people are made anew by the reports. */
function isForPeople(holder: JsonObject): boolean {
  return ["decision", "verb", "cause"].some((name) => name in holder);
}

/** They depend on who built the components. */
function maskDigests(digests: JsonObject): Json {
  const names = Object.keys(digests).sort();
  return Object.fromEntries(names.map((name) => [name, `sha256:${createHash("sha256").update(name).digest("hex")}`]));
}

function maskNumber(value: number, key: string, holder: JsonObject): number {
  if (key === "rounds") return value <= 3 ? value : MANY_ROUNDS;
  if (key === "applyMs") return APPLY_MS;
  if (!key.endsWith("Ms") || value === 0) return value;
  if (key === "enforcedMs") return holder["status"] === "passed" ? 120 + (hashOf(holder["name"]) % 90) : RELAPSE_MS;
  if (key === "totalMs")
    return holder["meshReadyMs"] !== undefined ? RUN_MS : holder["body"] !== undefined ? ANSWER_MS : STEP_MS;
  return TIMES[key] ?? 100;
}

function hashOf(text: Json | undefined): number {
  return createHash("sha256").update(String(text)).digest().readUInt16BE();
}

function maskString(text: string, key: string, { id, startedAt }: MaskOptions): string {
  if (key === "id" && /^\d{8}-/.test(text)) return id;
  if (key === "finishedAt") return new Date(Date.parse(startedAt) + RUN_MS).toISOString();
  if (/At$/.test(key)) return startedAt;
  if (key === "x-envoy-upstream-service-time") return "1";
  // Bookinfo's page: which reviews it shows is chance.
  if (key === "body" && text.startsWith("<!doctype html>")) return text.slice(0, text.indexOf("</h1>") + 5);
  let masked = text;
  if (key === "command" || key === "repeat") masked = withoutOptions(masked, key === "repeat");
  for (const [pattern, by] of PATTERNS) masked = masked.replace(pattern, by);
  masked = masked.replace(/\b\d{8}-\d{6}-[0-9a-f]{4}\b/g, id);
  // In sentences alone: a title may name a time.
  return SENTENCES.has(key) ? masked.replace(/\b\d+(?:\.\d+)? (ms|s)\b/g, "1 $1") : masked;
}

/** Leaves out the options by which a recording differs from what a person types. */
function withoutOptions(command: string, all: boolean): string {
  const options = all ? "name|scenarios|results|known-failures" : "name|scenarios|results";
  return command.replace(new RegExp(` --(?:${options}) \\S+`, "g"), "").replace(/( --known-failures )\S*\//, "$1");
}

const SENTENCES = new Set(["reason", "note", "notes", "error", "message", "problems"]);

const PATTERNS: readonly (readonly [RegExp, string])[] = [
  // A pod of a Deployment: the hashes of its template and of itself.
  [/\b([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)-[0-9a-z]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b/g, "$1-6d8f7b9c5-x2x7q"],
  // Addresses but for loopback.
  [/\b(?!127\.)(?:10|172|192|169)(?:\.\d{1,3}){3}\b/g, "10.244.0.9"],
  [/\b(?:fd|fe)[0-9a-f]{2}:[0-9a-f:]+\b/g, "fd00::9"],
  // The number of the round in a user agent.
  [/(meshproof\/[\w./-]+?\/\d+\.\d+)\/\d+/g, "$1/3"],
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "00000000-0000-4000-8000-000000000000"],
  [/\bHash=[0-9a-f]{64}\b/g, "Hash=0000"],
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, "2026-11-28T02:00:00Z"],
  // Seconds since 1970, as in a token's times.
  [/\b1[789]\d{8}\b/g, "1800000000"],
  // Parts of keys, and tokens.
  [/((?:"|\\")[nxyk](?:"|\\") *: *(?:"|\\"))[\w-]{20,}/g, "$1AAAA"],
  [/\beyJ[\w-]{16,}(?:\.[\w-]*)*/g, "eyJhIjoxfQ"],
];
