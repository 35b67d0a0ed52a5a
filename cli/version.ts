import { execa } from "execa";
import { readFile } from "node:fs/promises";
import path from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { PROJECT } from "./context.ts";

/** Which commit a package was built from. */
interface BuiltFrom {
  readonly commit?: string;
  /** Of the commit, `YYYY-MM-DD`. */
  readonly date?: string;
  /** Whether files differed from the commit. */
  readonly changed?: boolean;
}

/** `0.1.0 (3d23067ab, 2026-11-29)`; the commit and its date are left out where they are not known. */
export async function version(): Promise<string> {
  const built = await readFile(path.join(PROJECT, "build.json"), "utf8").then(
    (text) => JSON.parse(text) as BuiltFrom,
    () => builtFrom(PROJECT),
  );
  const { commit, date, changed } = built;
  const from = commit === undefined ? "" : ` (${commit}${changed === true ? " with changes" : ""}, ${date})`;
  return `${packageJson.version}${from}`;
}

/** The commit of a clone; empty where the folder is not one, or git is missing. */
export async function builtFrom(folder: string): Promise<BuiltFrom> {
  const git = (...args: string[]): Promise<string> =>
    execa("git", ["--git-dir", path.join(folder, ".git"), "--work-tree", folder, ...args]).then(({ stdout }) => stdout);
  try {
    const [commit, date] = (await git("log", "-1", "--format=%h %cs")).split(" ");
    const status = await git("status", "--porcelain");
    return { commit: commit!, date: date!, changed: status !== "" };
  } catch {
    return {};
  }
}
