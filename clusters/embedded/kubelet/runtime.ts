import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { Socket } from "node:net";
import { constants as osConstants } from "node:os";
import type { Duplex, Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { Image } from "./image.ts";
import { runTool, TOOL_PATH } from "./tools.ts";
import { planRoot, type ContainerMount } from "./rootfs.ts";
import { capabilitiesOf, type Identity, setprivArgs } from "./security.ts";
import type { RunLog } from "./logs.ts";
import type { Sandbox } from "./network.ts";
import { lockedOptions, parseMountInfo, type MountPoint } from "./mountinfo.ts";

/** A container's first process, with its environment. */
export interface ContainerPlan {
  readonly image: Image;
  /** Of this run alone. */
  readonly dir: string;
  readonly sandbox: Sandbox;
  readonly mounts: readonly ContainerMount[];
  readonly identity: Identity;
  readonly readOnlyRoot: boolean;
  readonly workingDir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly fifos: { readonly stdout: string; readonly stderr: string };
  readonly log: RunLog;
}

export interface Exit {
  readonly code: number;
  readonly signal: number;
}

export interface RunningContainer {
  /** Pid of the first process in the node's PID namespace. */
  readonly pid: number;
  readonly startedAt: Date;
  /** Resolves once the process ended and its output is in the log. */
  readonly exited: Promise<Exit>;
  readonly stdin: Duplex | undefined;
  signal(name: "SIGTERM" | "SIGKILL"): void;
  /** The command line (for spawn) that runs something inside, as the same user and in the same environment. */
  enter(command: readonly string[]): readonly [string, ...string[]];
}

/** Containers from user, mount and PID namespaces, overlayfs and util-linux. */
export class Runtime {
  readonly capabilities: ReadonlySet<string>;
  readonly #debianRoot: string;
  readonly #inUserNamespace: boolean;
  readonly #userNamespace: string;
  readonly #devDir: string;
  readonly #mountPoints: readonly MountPoint[];

  private constructor(debianRoot: string, devDir: string, userNamespace: string) {
    this.#debianRoot = debianRoot;
    this.#devDir = devDir;
    this.#userNamespace = userNamespace;
    const status = readFileSync("/proc/self/status", "latin1");
    this.capabilities = capabilitiesOf(BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`));
    this.#inUserNamespace = !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "latin1"));
    this.#mountPoints = parseMountInfo(readFileSync("/proc/self/mountinfo", "latin1"));
  }

  /** @param userNamespace where the pods' user namespace is mounted */
  static async create(debianRoot: string, runDir: string, userNamespace: string): Promise<Runtime> {
    const devDir = `${runDir}/dev`;
    await makeDev(devDir);
    return new Runtime(debianRoot, devDir, userNamespace);
  }

  /** The image's /etc/passwd, from its topmost layer. */
  passwdOf(image: Image): string {
    const file = [...image.layers, this.#debianRoot].map((dir) => `${dir}/etc/passwd`).find((path) => existsSync(path));
    return file ? readFileSync(file, "utf8") : "";
  }

  /**
   * Starts a container; resolves once its program runs.
   * @throws Error with the failed step (usually a mount) if it did not start.
   */
  async start(plan: ContainerPlan): Promise<RunningContainer> {
    for (const name of ["upper/.old", "work", "merged"]) mkdirSync(`${plan.dir}/${name}`, { recursive: true });
    const assignments = Object.entries(plan.env).map(([name, value]) => `${name}=${value}`);
    const asUser = [...setprivArgs(plan.identity), "env", "-i", "-C", plan.workingDir, ...assignments];
    const root = planRoot(
      {
        lower: [...plan.image.layers, this.#debianRoot],
        dir: plan.dir,
        inUserNamespace: this.#inUserNamespace,
        userNamespace: this.#userNamespace,
        devDir: this.#devDir,
        shmDir: plan.sandbox.shmDir,
        mounts: [
          ...plan.mounts,
          ...plan.image.binds.map(({ source, target }) => ({
            source,
            target,
            readOnly: true,
            isFile: isFile(source),
            locked: lockedOptions(this.#mountPoints, source),
          })),
        ],
        readOnlyRoot: plan.readOnlyRoot,
        workingDir: plan.workingDir,
        exec: [...asUser, ...plan.command],
      },
      existsSync,
    );
    writeFileSync(`${plan.dir}/fstab.base`, root.baseFstab);
    writeFileSync(`${plan.dir}/fstab`, root.fstab);
    writeFileSync(`${plan.dir}/fstab.files`, root.fileFstab);

    // Named pipes, not the sockets that node makes of "pipe": a socket cannot be opened through /dev/stdout, which is
    // where Envoy and nginx write their access logs. They have mode 666 because any user may run inside.
    const readers = [plan.fifos.stdout, plan.fifos.stderr].map((path) =>
      openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
    );
    const writers = [plan.fifos.stdout, plan.fifos.stderr].map((path) => openSync(path, constants.O_WRONLY));
    const drained = readers.map((fd, index) =>
      drain(fd, (chunk) => plan.log.append(index === 0 ? "stdout" : "stderr", chunk)),
    );

    const [file, ...args] = plan.sandbox.enter([
      "unshare",
      "--mount",
      "--pid",
      "--fork",
      "sh",
      "-eu",
      "-c",
      root.script,
    ]);
    const child = spawn(file, args, {
      env: { PATH: TOOL_PATH },
      cwd: "/",
      // A session of its own: a terminal's ctrl-C is for the supervisor, not for pods.
      detached: true,
      stdio: [plan.stdin ? "pipe" : "ignore", writers[0], "pipe", writers[1]],
    });
    for (const fd of writers) closeSync(fd);
    const words = collect(child.stderr!);
    const ended = exitOf(child, words);
    const setup = await words.until(/^pid (\d+)$[^]*^ready$/m);
    if (!setup) {
      await ended.catch(() => undefined);
      await Promise.all(drained);
      plan.log.end();
      throw new Error(
        words
          .text()
          .replace(/^pid \d+\n/, "")
          .trim() || "the container's set-up ended without a word",
      );
    }
    const pid = Number(setup[1]);
    await hasExecuted(pid);
    let running = true;
    const exited = ended.then(async (exit) => {
      running = false;
      await Promise.all(drained);
      plan.log.end();
      return exit;
    });
    return {
      pid,
      startedAt: new Date(),
      exited,
      stdin: (child.stdin as Duplex | null) ?? undefined,
      signal: (name) => {
        if (!running) return;
        try {
          process.kill(pid, name);
        } catch {
          // It ended on its own a moment ago.
        }
      },
      enter: (command) => [
        "nsenter",
        `--target=${pid}`,
        // Entered last (nsenter(1)): programs inside, setpriv included, may be the pod's own.
        "--user",
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--root",
        ...asUser.toSpliced(1, 0, "--pdeathsig=KILL"),
        ...command,
      ],
    };
  }
}

/** Creates the devices of all containers, once; containers see them through a read-only recursive bind mount. */
async function makeDev(dir: string): Promise<void> {
  mkdirSync(dir, { recursive: true });
  await runTool(["mount", "-t", "tmpfs", "-o", "mode=755,size=64k", "tmpfs", dir]);
  const nodes = ["null", "zero", "full", "random", "urandom", "tty"];
  for (const name of ["pts", "shm"]) mkdirSync(`${dir}/${name}`);
  for (const name of [...nodes, "termination-log"]) writeFileSync(`${dir}/${name}`, "");
  for (const [name, target] of [
    ["fd", "/proc/self/fd"],
    ["stdin", "/proc/self/fd/0"],
    ["stdout", "/proc/self/fd/1"],
    ["stderr", "/proc/self/fd/2"],
    ["ptmx", "pts/ptmx"],
  ] as const)
    symlinkSync(target, `${dir}/${name}`);
  // Bind mounts, since device nodes cannot be created in a user namespace.
  await runTool(["sh", "-ec", nodes.map((name) => `mount --bind /dev/${name} "$1"/${name}`).join("\n"), "sh", dir]);
}

function isFile(path: string): boolean {
  return !statSync(path).isDirectory();
}

function drain(fd: number, onData: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve) => {
    new Socket({ fd, readable: true, writable: false })
      .on("data", onData)
      .on("error", () => resolve())
      .on("close", () => resolve());
  });
}

/** The exit of unshare(1), which is that of its child. */
async function exitOf(child: ChildProcess, words: Words): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      // util-linux before 2.39 tries to end by its child's signal, fails for SIGKILL and exits with 1.
      const killed = code === 1 && words.text().includes("sigprocmask unblock failed");
      const name = killed ? "SIGKILL" : signal;
      const number = name ? osConstants.signals[name] : 0;
      resolve({ code: number ? 128 + number : (code ?? 0), signal: number });
    });
  });
}

interface Words {
  text(): string;
  /** Resolves with the first match, or at the stream's end with undefined. */
  until(pattern: RegExp): Promise<RegExpExecArray | undefined>;
}

function collect(stream: Readable): Words {
  let text = "";
  const change = new EventEmitter();
  stream.on("data", (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-4096);
    change.emit("change");
  });
  stream.on("close", () => change.emit("end"));
  return {
    text: () => text,
    until: (pattern) =>
      new Promise((resolve) => {
        change.on("change", () => {
          const match = pattern.exec(text);
          if (match) resolve(match);
        });
        change.on("end", () => resolve(undefined));
      }),
  };
}

/**
 * Waits until the set-up has ended and the container's own program runs, so that hooks and probes may start. With a limit,
 * in case the program has the same command line as the set-up.
 */
async function hasExecuted(pid: number): Promise<void> {
  const ours = ["sh\0-eu\0-c\0", "setpriv\0--reuid=", "env\0-i\0-C\0"];
  for (let tries = 0; tries < 100; tries++) {
    let line: string;
    try {
      line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      return;
    }
    if (!ours.some((words) => line.startsWith(words))) return;
    await delay(2);
  }
}
