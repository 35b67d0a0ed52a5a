/**
 * `dockerd.ts start|stop`: a Docker daemon for a machine that has none and no init system to run one, such as a CI
 * machine. Where a daemon answers already, start leaves everything as it is, and stop ends only what start began.
 */

import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { access, chmod, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { findOwnFolder, makeOwnFolder, placeInTemp, TEMP_HINT } from "../../harness/own.ts";

/** All of the daemon: its settings, log, state and images. */
const DIR = placeInTemp("meshproof-dockerd");
const SECRET = { secret: true, hint: TEMP_HINT } as const;
const PID_FILE = join(DIR, "dockerd.pid");
const LOG = join(DIR, "dockerd.log");
const SOCKET = "unix:///var/run/docker.sock";
const START_SECONDS = 60;
const STOP_SECONDS = 30;

/** capabilities(7): CAP_SYS_RESOURCE is number 24. */
const SYS_RESOURCE = 1n << 24n;

/** Kubernetes' service addresses (kubeadm.ts). */
const SERVICE_SUBNET = "10.96.0.0/12";

/**
 * A service address that kube-proxy has not programmed yet would leave the machine by its default route, and whoever
 * answers there answers for the service. So it is refused at once.
 */
const RULE = ["DOCKER-USER", "-d", SERVICE_SUBNET, "-j", "REJECT", "--reject-with", "icmp-net-unreachable"];

/** What apt-get makes of policy-rc.d(8): starts no service that it installs. */
const POLICY = "/usr/sbin/policy-rc.d";

async function start(): Promise<void> {
  if (await answers()) return say("a Docker daemon runs already; nothing to do");
  if (process.getuid?.() !== 0) throw new Error("only root can start a Docker daemon");
  if (!(await has("dockerd"))) await install();
  makeOwnFolder(DIR, SECRET);
  const config = {
    "data-root": join(DIR, "data"),
    "exec-root": join(DIR, "exec"),
    pidfile: PID_FILE,
    hosts: [SOCKET],
    ...(await runtimeForThisMachine()),
  };
  await writeFile(join(DIR, "daemon.json"), JSON.stringify(config, null, 2));
  const log = openSync(LOG, "a");
  const daemon = spawn("dockerd", ["--config-file", join(DIR, "daemon.json")], {
    detached: true,
    stdio: ["ignore", log, log],
  });
  daemon.unref();
  for (const until = performance.now() + START_SECONDS * 1000; !(await answers()); await delay(200)) {
    if (daemon.exitCode !== null || performance.now() > until) {
      const lines = (await readFile(LOG, "utf8")).trimEnd().split("\n").slice(-15);
      throw new Error(`dockerd did not start; the end of ${LOG}:\n${lines.join("\n")}`);
    }
  }
  await execa("iptables", ["-I", ...RULE]);
  say(`dockerd runs as process ${daemon.pid}; its files: ${DIR}`);
}

async function stop(): Promise<void> {
  if (!findOwnFolder(DIR, SECRET)) return say("no Docker daemon was started here");
  const pid = Number(await readFile(PID_FILE, "utf8").catch(() => ""));
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  if (!pid || !command.includes(DIR)) return say("no Docker daemon was started here");
  process.kill(pid, "SIGTERM");
  for (const until = performance.now() + STOP_SECONDS * 1000; await exists(`/proc/${pid}/cmdline`); await delay(100))
    if (performance.now() > until) throw new Error(`dockerd (process ${pid}) does not end`);
  await execa("iptables", ["-D", ...RULE], { reject: false });
  await rm(DIR, { recursive: true, force: true });
  say("dockerd has ended");
}

async function install(): Promise<void> {
  say("installing docker.io (apt-get)");
  const policy = !(await exists(POLICY));
  if (policy) {
    await writeFile(POLICY, "#!/bin/sh\nexit 101\n");
    await chmod(POLICY, 0o755);
  }
  try {
    const apt = (...args: string[]) =>
      execa("apt-get", ["-q", "-y", ...args], { env: { DEBIAN_FRONTEND: "noninteractive" }, stdin: "ignore" });
    await apt("update");
    await apt("install", "--no-install-recommends", "docker.io", "iptables");
  } finally {
    if (policy) await rm(POLICY);
  }
}

/** Without CAP_SYS_RESOURCE runc could not give it to privileged containers: then a wrapper takes it out. */
async function runtimeForThisMachine(): Promise<Record<string, unknown>> {
  const status = await readFile("/proc/self/status", "utf8");
  if (BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? "0"}`) & SYS_RESOURCE) return {};
  const runc = (await execa("sh", ["-c", "command -v runc"])).stdout;
  const wrapper = join(import.meta.dirname, "runc-without-sys-resource.mjs");
  const path = join(DIR, "runc");
  const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
  await writeFile(
    path,
    `#!/bin/sh
case " $* " in
*" create "* | *" exec "*) exec ${quote(process.execPath)} ${quote(wrapper)} ${quote(runc)} "$@" ;;
*) exec ${quote(runc)} "$@" ;;
esac
`,
  );
  await chmod(path, 0o755);
  say("this machine lacks CAP_SYS_RESOURCE; containers go without it");
  return { "default-runtime": "without-sys-resource", runtimes: { "without-sys-resource": { path } } };
}

async function answers(): Promise<boolean> {
  return !(await execa("docker", ["version", "--format", "{{.Server.Version}}"], { reject: false, timeout: 10_000 }))
    .failed;
}

async function has(program: string): Promise<boolean> {
  return !(await execa("sh", ["-c", `command -v ${program}`], { reject: false })).failed;
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

const verbs: Readonly<Record<string, () => Promise<void>>> = { start, stop };
const verb = verbs[process.argv[2] ?? ""];
if (verb === undefined) {
  say("usage: dockerd.ts start|stop");
  process.exitCode = 2;
} else
  await verb().catch((error: unknown) => {
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = 3;
  });
