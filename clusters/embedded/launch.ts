import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { Progress } from "../../harness/progress.ts";
import { cacheRoot } from "../components/cache.ts";
import type { Installed } from "../components/components.ts";
import type { FromSupervisor, StartData, SupervisorOptions, ToSupervisor } from "./messages.ts";
import { explain } from "./processes.ts";
import { writeHolder, type Claim, type RunDir } from "./run-dir.ts";

/** A running cluster, for the process that started it. */
export interface Launched {
  readonly apiPort: number;
  /** Resolves when the API server answers. */
  readonly api: Promise<void>;
  /** Resolves when the node is Ready. */
  readonly ready: Promise<void>;
  /** Aborts, with a {@link MeshproofError} as its reason, if the cluster ends unexpectedly. */
  readonly lost: AbortSignal;
  /** Lets it outlive this process. */
  keep(): Promise<void>;
  /** With `makeDataAt`: the data is copied, after all objects have been applied. */
  finish(): Promise<void>;
  /** Ends it and waits until all of it is gone. */
  stop(): Promise<void>;
}

/**
 * Starts the supervisor in new namespaces. Until `keep` it ends with this process, for two reasons: it notices the end of the
 * IPC channel, and (unless the cluster is to be kept) the kernel sends it the parent-death signal.
 */
export async function launch(options: {
  /** The folder of all clusters. */
  readonly base: string;
  readonly claim: Claim;
  readonly keep: boolean;
  readonly installed: Installed;
  readonly progress: Progress;
  /** What etcd starts with. */
  readonly data?: StartData | undefined;
  /** Makes such data in this folder: etcd and the API server start alone. */
  readonly makeDataAt?: string;
}): Promise<Launched> {
  const { claim, installed, data, makeDataAt } = options;
  const { dir } = claim;
  await mkdir(dir.logs);
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: apiPort } = server.address() as AddressInfo;
  const given: SupervisorOptions = {
    ...{ name: dir.name, base: options.base, apiPort, installed },
    ...(data && { data }),
    ...(makeDataAt !== undefined && { makeDataAt }),
  };

  const log = `${dir.logs}/supervisor.log`;
  const logFd = openSync(log, "a", 0o600);
  const child = spawn("setpriv", namespaceCommand(options.keep, process.getuid?.() === 0, given), {
    // A new session: ctrl-C at a terminal reaches only the starter, which then ends the cluster cleanly.
    detached: true,
    // Descriptor 4 is the lock: it is released when the last of these processes has ended.
    stdio: ["ignore", logFd, logFd, "ipc", claim.fd],
    cwd: "/",
    env: {
      PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`,
      LANG: "C.UTF-8",
      NODE_COMPILE_CACHE: join(cacheRoot(), "node-compile-cache"),
    },
  });
  closeSync(logFd);
  if (child.pid !== undefined) writeHolder(claim, child.pid);

  const lost = new AbortController();
  const api = Promise.withResolvers<void>();
  const ready = Promise.withResolvers<void>();
  const made = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  let stopping = false;
  const lose = (error: MeshproofError): void => {
    api.reject(error);
    ready.reject(error);
    made.reject(error);
    if (!stopping) lost.abort(error);
  };
  api.promise.catch(() => undefined);
  ready.promise.catch(() => undefined);
  made.promise.catch(() => undefined);
  child.on("message", (message: FromSupervisor) => {
    if (message.type === "progress") options.progress(message.line);
    else if (message.type === "api") api.resolve();
    else if (message.type === "ready") ready.resolve();
    else if (message.type === "made") made.resolve();
    else lose(startError(message.message, dir));
  });
  child.once("error", (cause) => {
    gone.resolve();
    lose(
      new MeshproofError("ERR_MISSING_PROGRAM", `setpriv of util-linux cannot be run: ${cause.message}`, {
        hint: "run meshproof doctor",
        cause,
      }),
    );
  });
  child.once("exit", (code, signal) => {
    void explain(`the embedded cluster ended (${signal ?? `exit code ${code}`})`, log).then((message) => {
      lose(startError(message, dir));
      gone.resolve();
    });
  });
  child.send({ type: "relay" } satisfies ToSupervisor, server, () => server.close());

  return {
    apiPort,
    api: api.promise,
    ready: ready.promise,
    lost: lost.signal,
    async keep() {
      await send(child, { type: "keep" });
      child.disconnect();
      child.unref();
    },
    async finish() {
      await send(child, { type: "finish" });
      await made.promise;
    },
    async stop() {
      stopping = true;
      if (child.exitCode === null && child.pid !== undefined) await killCluster(child.pid);
      await gone.promise;
    },
  };
}

/** Dependencies as few files, which are read faster. */
const BUNDLED = new URL("../../cli/bundled.mjs", import.meta.url).href;

/** The arguments of setpriv(1), which becomes unshare(1). */
export function namespaceCommand(keep: boolean, root: boolean, options: SupervisorOptions): string[] {
  const supervisor = join(import.meta.dirname, `supervisor${extname(import.meta.filename)}`);
  return [
    "--pdeathsig",
    keep ? "clear" : "KILL",
    "unshare",
    // The caller's uid becomes root inside, and the subordinate uids of /etc/subuid become the other users.
    ...(root ? [] : ["--user", "--map-root-user", "--map-auto"]),
    "--net",
    "--mount",
    "--ipc",
    "--uts",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
    // The shell is the first process: unlike Node.js it reaps orphans; it ends when Node.js ends.
    "sh",
    "-c",
    '"$@"; exit $?',
    "sh",
    options.installed.node,
    "--disable-warning=ExperimentalWarning",
    "--import",
    BUNDLED,
    supervisor,
    JSON.stringify(options),
  ];
}

/**
 * Kills the first process in a cluster's namespaces; it ends after all other processes there, and unshare ends after it. If it
 * does not exist yet, kills unshare.
 * @param unshare its process id, known to be that of the cluster
 */
export async function killCluster(unshare: number): Promise<void> {
  const children = await readFile(`/proc/${unshare}/task/${unshare}/children`, "utf8").catch(() => "");
  const [first = unshare] = children.split(" ").map(Number).filter(Boolean);
  try {
    process.kill(first, "SIGKILL");
  } catch {
    // It ended a moment ago.
  }
}

function startError(message: string, dir: RunDir): MeshproofError {
  return new MeshproofError("ERR_CLUSTER_START", message, {
    hint: `meshproof doctor lists what the machine lacks; all logs are in ${dir.logs} until the next start`,
  });
}

function send(child: ChildProcess, message: ToSupervisor): Promise<void> {
  return new Promise((resolve, reject) => {
    child.send(message, (error) => (error ? reject(error) : resolve()));
  });
}
