/** Files that a user names. A fault in one is reported as the file's fault, with exit code 2, not as an internal error of meshproof. */

import { readFile } from "node:fs/promises";
import { MeshproofError } from "./model/errors.ts";

interface Words {
  /** The file's name in a sentence: `the known failures`; default its path. */
  readonly what?: string;
  /** How to fix it. */
  readonly hint?: string;
}

/**
 * The text of a file, without a byte order mark.
 * @throws MeshproofError ERR_USAGE if it cannot be read or is not UTF-8
 */
export async function readUserFile(file: string, { what = file, hint }: Words = {}): Promise<string> {
  const refuse = (why: string, cause: unknown, todo = hint): MeshproofError =>
    new MeshproofError("ERR_USAGE", `${what} cannot be read: ${why}`, {
      cause,
      ...(todo === undefined ? {} : { hint: todo }),
    });
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    // Name the path once: `what` may describe the file without its path.
    const it = what === file ? "it" : file;
    throw refuse(code === "ENOENT" ? `${it} does not exist` : code === "EISDIR" ? `${it} is a folder` : message, cause);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw refuse(`${file} is not UTF-8 text`, cause, "save it as UTF-8");
  }
}

/**
 * Runs a function on a file's content. A user's file may contain anything: lists where objects are expected, aliases that
 * expand without end, nesting that overflows the stack. Errors from such content are the file's fault.
 * @throws MeshproofError ERR_USAGE instead of any other error
 */
export function ofFile<T>(file: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (cause instanceof MeshproofError) throw cause;
    throw new MeshproofError("ERR_USAGE", `the content of ${file} cannot be understood: ${reasonOf(cause)}`, {
      cause,
      hint: "compare it with one that works: a value is of another kind than expected",
    });
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof RangeError) return "it is nested too deeply";
  return cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
}
