import { stat } from "node:fs/promises";
import path from "node:path";
import { MeshproofError } from "../harness/model/errors.ts";
import { runResult, type RunResult } from "../harness/model/result.ts";
import { ofFile, readUserFile } from "../harness/user-file.ts";
import { countOf } from "../harness/verdict/status.ts";
import { upgradeAnswers } from "./older-answers.ts";
import { STATUSES } from "./outcome.ts";
import { prepare } from "./prepare.ts";
import schemaOf1 from "./results.v1.schema.json" with { type: "json" };
import { upgradeResult, type ResultOf1 } from "./version-1.ts";

/**
 * Reads a run's result.
 * @param place a run's folder, or its results.json
 * @param options.unjudged whether to accept a run that judged nothing
 * @param options.old whether to accept a file of schema version 1: its sentences become findings with a text
 * @throws MeshproofError ERR_USAGE if the file is missing, not JSON, of another schema version, damaged, or of a run that judged
 * nothing: a comparison with no checks must not look like agreement
 */
export async function readResults(place: string, { unjudged = false, old = true } = {}): Promise<RunResult> {
  const file = (await isFolder(place)) ? path.join(place, "results.json") : place;
  const refuse = (message: string, hint: string, cause?: unknown): MeshproofError =>
    new MeshproofError("ERR_USAGE", `${file} ${message}`, { hint, cause });
  const text = await readUserFile(file, { hint: "name a run's folder, such as results/latest, or its results.json" });
  let value: unknown;
  try {
    value = upgradeAnswers(JSON.parse(text));
  } catch (cause) {
    throw refuse(`is not JSON: ${(cause as Error).message}`, "was it cut off? Run again, or fetch it again", cause);
  }
  const version = (value as { schemaVersion?: unknown } | null)?.schemaVersion;
  if (version !== 2 && !(version === 1 && old))
    throw refuse(
      version === undefined
        ? "is not what a run found: it has no schemaVersion"
        : `has schemaVersion ${JSON.stringify(version)}, expected 2`,
      version === undefined ? "name a run's results.json" : "use the meshproof that wrote it, or run again",
    );
  const find = version === 1 ? await damageOf1() : damageOf;
  const damage = ofFile(file, () => find(value));
  if (damage !== undefined)
    throw refuse(
      `is damaged: ${damage}`,
      `reports/results${version === 1 ? ".v1" : ""}.schema.json describes what belongs there`,
    );
  const result = version === 1 ? upgradeResult(value as ResultOf1) : (value as RunResult);
  const malformed = [result.id, ...result.scenarios.map(({ id }) => id)].find((id) => !id.isWellFormed());
  if (malformed !== undefined)
    throw refuse(
      `is damaged: the id ${JSON.stringify(malformed)} holds half a character`,
      "run again, or fetch it again",
    );
  const counts = countOf(result.scenarios);
  const differing = STATUSES.find((status) => counts[status] !== result.counts[status]);
  if (differing !== undefined)
    throw refuse(
      `is damaged: it counts ${result.counts[differing]} ${differing}, and holds ${counts[differing]}`,
      "was it edited, or written by a run that was ended? Run again",
    );
  if (!unjudged && counts.passed + counts.failed + counts.flaky + counts["known-failure"] === 0)
    throw refuse("is of a run that judged nothing", "its report says why; run again");
  return prepare(result);
}

/** Finds the same in a file of version 1; only such files need this library. */
async function damageOf1(): Promise<(value: unknown) => string | undefined> {
  const { Ajv2020 } = await import("ajv/dist/2020.js");
  const ajv = new Ajv2020({ formats: { "date-time": (text: string) => !Number.isNaN(Date.parse(text)) } });
  const validateVersion1 = ajv.compile<ResultOf1>(schemaOf1);
  return (value) => (validateVersion1(value) ? undefined : ajv.errorsText(validateVersion1.errors, { dataVar: "it" }));
}

/** The first schema error, with its place: `it/scenarios/0/status is missing`. */
function damageOf(value: unknown): string | undefined {
  const [first] = runResult.safeParse(value).error?.issues ?? [];
  if (first === undefined) return undefined;
  const place = ["it", ...first.path.map(String)].join("/");
  let found: unknown = value;
  for (const key of first.path) found = (found as Record<PropertyKey, unknown> | undefined)?.[key];
  return found === undefined ? `${place} is missing` : `${place}: ${first.message}`;
}

async function isFolder(place: string): Promise<boolean> {
  try {
    return (await stat(place)).isDirectory();
  } catch {
    return false;
  }
}
