/** Where a scenario takes policies from: a file of the repository, a kustomization, or what a command prints. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import type { OwnPolicies } from "../model/scenario-file.ts";
import { shellWords } from "../shell-words.ts";

/** The text of a source, with its name in positions; or why there is none. */
export type SourceText =
  { readonly text: string; readonly file: string } | { readonly message: string; readonly hint?: string };

/** Far above what any mesh has; a command that goes on writing is ended. */
const MOST_BYTES = 64 * 1024 * 1024;
const LIMIT_MS = 120_000;

/** The texts that a process has, by source: several steps apply parts of the same one. */
const known = new Map<string, SourceText>();

/**
 * Reads a source. Commands run in the scenario's folder, without a shell; each once in a process.
 * @param folder the scenario's
 * @param nameFile names a file in positions
 */
export function readSource(source: OwnPolicies, folder: string, nameFile: (file: string) => string): SourceText {
  const key = JSON.stringify([folder, source]);
  const found = known.get(key) ?? read(source, folder, nameFile);
  known.set(key, found);
  return found;
}

function read(source: OwnPolicies, folder: string, nameFile: (file: string) => string): SourceText {
  if ("path" in source) {
    const file = path.resolve(folder, source.path);
    try {
      return { text: new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file)), file: nameFile(file) };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT")
        return { message: `there is no file ${nameFile(file)}`, hint: "the path begins at the scenario's folder" };
      return { message: `${nameFile(file)} cannot be read: ${code === "EISDIR" ? "it is a folder" : message}` };
    }
  }
  const words =
    "kustomize" in source ? ["kubectl", "kustomize", path.resolve(folder, source.kustomize)] : [...source.command];
  const named =
    "kustomize" in source ? `kubectl kustomize ${nameFile(path.resolve(folder, source.kustomize))}` : shellWords(words);
  const [program = "", ...args] = words;
  try {
    const text = execFileSync(program, args, {
      ...{ cwd: folder, encoding: "utf8", maxBuffer: MOST_BYTES, timeout: LIMIT_MS },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return { text, file: named };
  } catch (error) {
    const { code, status, stderr } = error as NodeJS.ErrnoException & { status?: number | null; stderr?: string };
    if (code === "ENOENT") return { message: `${program} is not installed, and the scenario needs it: ${named}` };
    const said = (stderr ?? "").trim().split("\n").slice(-3).join(" ");
    return {
      message: `the command failed${typeof status !== "number" ? ` (${code})` : ` with exit code ${status}`}: ${named}${said === "" ? "" : `: ${said}`}`,
    };
  }
}
