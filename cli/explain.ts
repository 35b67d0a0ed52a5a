/** Formats an error that ends a command, and chooses the exit code. */

import { CommanderError } from "commander";
import { exitCodeOf, MeshproofError } from "../harness/model/errors.ts";
import type * as z from "zod";
import type { failure } from "../harness/model/outputs.ts";
import { redact } from "../harness/safe/redact.ts";
import { printJson, warn } from "./streams.ts";

/** Writes the error to standard error and returns the exit code. @param json also print it as JSON on standard output */
export function explain(thrown: unknown, { json = false }: { readonly json?: boolean } = {}): number {
  const error = unreachable(thrown) ?? thrown;
  if (json && !(error instanceof CommanderError && error.exitCode === 0)) printJson({ error: asJson(error) });
  // commander has printed it already, and has the exit code for help or a mistake.
  if (error instanceof CommanderError) {
    if (error.code.startsWith("meshproof.")) warn(error.message);
    return error.exitCode === 0 ? 0 : 2;
  }
  warn(describe(error));
  return exitCodeOf(error);
}

/** Codes of failed connections (Node's, and undici's for one that hangs). */
const CONNECTION =
  /^(ECONN(REFUSED|RESET|ABORTED)|E(HOST|NET)UNREACH|ETIMEDOUT|EPIPE|ENOTFOUND|EAI_AGAIN|UND_ERR_(SOCKET|\w+_TIMEOUT))$/;

/** ERR_CLUSTER_UNREACHABLE for an error because a server does not answer, which is not a bug of meshproof; else undefined. */
export function unreachable(error: unknown): MeshproofError | undefined {
  if (error instanceof MeshproofError) return undefined;
  for (let each = error, depth = 0; each instanceof Error && depth < 5; each = each.cause, depth++) {
    const { code } = each as NodeJS.ErrnoException;
    if (code === undefined || !CONNECTION.test(code)) continue;
    return new MeshproofError("ERR_CLUSTER_UNREACHABLE", `the API server does not answer: ${each.message || code}`, {
      hint: "is the cluster running? Try meshproof doctor, or meshproof down and start a new cluster",
      cause: error,
    });
  }
  return undefined;
}

/** The schema is `failure` in harness/model/outputs.ts. */
function asJson(error: unknown): z.input<typeof failure>["error"] {
  if (error instanceof MeshproofError) {
    const { code, message, hint } = error;
    return { code, message: redact(message), ...(hint !== undefined && { hint: redact(hint) }) };
  }
  const message = redact(error instanceof Error ? error.message : String(error));
  return { code: error instanceof CommanderError ? "ERR_USAGE" : "ERR_INTERNAL", message };
}

function describe(error: unknown): string {
  if (error instanceof MeshproofError) {
    if (error.code === "ERR_INTERRUPTED") return error.message;
    const [first, ...more] = error.message.split("\n");
    return [
      `error: ${first}`,
      ...more.map((line) => `       ${line}`),
      ...(error.hint === undefined ? [] : [`  ${error.hint}`]),
    ].join("\n");
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `error: internal error in meshproof. This is a bug; please report it:\n${stack}`;
}
