/** The package that `npm pack` makes, installed in a folder of its user's, where the clone is out of sight. */

import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { PROJECT } from "../../cli/context.ts";

/** Runs a command where the clone's folder is empty. */
const HIDDEN = ["--mount", "sh", "-c", 'mount -t tmpfs none "$1" && shift && exec "$@"', "sh", PROJECT];

export interface Installed {
  /** The user's folder. */
  readonly user: string;
  /** Runs a program there, by its path or its name in PATH, with npm's programs before all others. */
  run(command: readonly string[]): Promise<{ readonly exitCode?: number | undefined; readonly all: string }>;
  remove(): Promise<void>;
}

export async function installPackage(): Promise<Installed> {
  const folder = await mkdtemp(path.join(tmpdir(), "meshproof-package-"));
  const user = path.join(folder, "user");
  await mkdir(user);
  // npm gives a script that it runs settings of its own.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("npm_")));
  const npm = { extendEnv: false, env, stdio: ["ignore", "inherit", "inherit"] } as const;
  await execa("npm", ["pack", "--pack-destination", folder], { ...npm, cwd: PROJECT });
  const packed = (await readdir(folder)).find((name) => name.endsWith(".tgz"))!;
  await execa("npm", ["init", "--yes"], { ...npm, cwd: user });
  await execa(
    "npm",
    ["install", "--prefer-offline", "--no-audit", "--no-fund", "--save-dev", path.join(folder, packed)],
    { ...npm, cwd: user },
  );
  const bin = path.join(user, "node_modules/.bin");
  return {
    user,
    run: (command) =>
      execa("unshare", [...HIDDEN, ...command], {
        ...{ cwd: user, all: true, reject: false, stdin: "ignore", extendEnv: false },
        env: { ...env, PATH: `${bin}:${process.env["PATH"] ?? ""}`, FORCE_COLOR: "0" },
      }),
    async remove() {
      await rm(folder, { recursive: true, force: true });
      await rm(path.join(PROJECT, "dist"), { recursive: true, force: true });
    },
  };
}
