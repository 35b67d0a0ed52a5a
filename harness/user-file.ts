/** Files that a user names. Whatever is odd about one is told as such, with exit code 2: it is no failure of meshproof itself. */

import { readFile } from "node:fs/promises";
import { MeshproofError } from "./model/errors.ts";

interface Words {
  /** What it is called in a sentence: `the known failures`; its name where this is left out. */
  readonly what?: string;
  /** What to do about it. */
  readonly hint?: string;
}

/**
 * The text of a file, without a byte order mark.
 * @throws MeshproofError ERR_USAGE where it cannot be read or is not UTF-8
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
    // Named once: where the text says what the file is for, and not where it is.
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
 * Does something with what a file holds. A user's file may hold anything: lists where objects are expected, aliases that grow
 * without end, nesting that overflows the stack. What fails because of that is the file's fault.
 * @throws MeshproofError ERR_USAGE in place of any other error
 */
export function ofFile<T>(file: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (cause instanceof MeshproofError) throw cause;
    throw new MeshproofError("ERR_USAGE", `${file} holds what cannot be understood: ${reasonOf(cause)}`, {
      cause,
      hint: "compare it with one that works: a value is of another kind than expected",
    });
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof RangeError) return "it is nested too deeply";
  return cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
}
