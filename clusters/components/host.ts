/* eslint-disable max-lines -- each check of doctor is a few lines of one list */

import { access, readdir, readFile, readlink, statfs } from "node:fs/promises";
import { release, userInfo } from "node:os";
import { dirname, join } from "node:path";

import { execa } from "execa";

import { MeshproofError } from "../../harness/model/errors.ts";
import { inLanes } from "../../harness/lanes.ts";
import type { Progress } from "../../harness/progress.ts";
import { cacheRoot } from "./cache.ts";
import { debianRoot } from "./debian.ts";
import { entryName, inspectEntry } from "./entry.ts";
import { compareVersions, goToolchain, machineGo } from "./go.ts";
import { allComponents } from "./list.ts";
import { hasPackageTools, missingPrograms, PACKAGE_TOOLS } from "./package-tools.ts";
import { isPresent, presentOf } from "./sources.ts";
import { sourceFrom } from "./ways.ts";

/** One line of `meshproof doctor`. */
export interface HostFinding {
  readonly name: string;
  readonly ok: boolean;
  readonly found: string;
  readonly needed: string;
  /** One command, or one sentence where no command helps; only where `ok` is false. */
  readonly fix?: string;
  /** Debian packages that put it right. */
  readonly packages?: readonly string[];
}

type Question = () => Promise<HostFinding | undefined>;

const GIB = 1024 ** 3;
/** Overlay mounts in a user namespace came with Linux 5.11. */
const KERNEL = "5.11";
/** `unshare --map-auto` came with util-linux 2.38, which only a user namespace needs. */
const UTIL_LINUX = { root: "2.34", rootless: "2.38" };
/** What useradd gives each user, and enough for the users of any image. */
const SUBORDINATE_IDS = 65536;
/** Measured: components, Go's module cache and Go's build cache after a build of everything. */
const BUILD_SPACE = 8 * GIB;
/** Measured: components out of images, with the layers that are unpacked at once. */
const IMAGE_SPACE = 2 * GIB;
/** Measured: all of a cluster, resident. */
const MEMORY = 2 * GIB;

/** Measured: a cluster with all workloads has about 50. */
const INOTIFY = 64;

const isRoot = () => process.getuid?.() === 0;
const sudo = (command: string) => (isRoot() ? command : `sudo ${command}`);
async function install(...packages: string[]) {
  const names = packages.join(" ");
  if (!(await hasPackageTools()))
    return { fix: `install ${names} (their names in Debian) with this machine's package manager` };
  return { fix: sudo(`apt-get install -y ${names}`), packages };
}
const gib = (bytes: number) => `${(bytes / GIB).toFixed(1)} GiB`;

/**
 * Examines this machine and changes nothing. Each finding contains what was found, what is needed, and how to install it.
 * @param platform another one for tests
 */
export async function checkHost(platform = process.platform): Promise<HostFinding[]> {
  if (platform !== "linux") return ask([() => system(platform), docker]);
  const first = await ask([() => system(platform), kernel, utilLinux, subordinateIds, packageTools, go, disk, memory]);
  const ids = first.find(({ name }) => name === SUBORDINATE);
  const namespaces = await checkNamespaces(ids?.ok ?? false);
  // Mounts and rules are tried inside namespaces: without namespaces they cannot be tried.
  return [...first, namespaces, ...(namespaces.ok ? await ask([overlay, netfilter]) : [])];
}

/** What may run short although a cluster can start. Looks at every process that this user can look into. */
export function checkShortages(): Promise<HostFinding[]> {
  return ask([inotify]);
}

/** Says before a cluster starts what may run short while it runs: then its proxies crash, and none of them says why. */
export async function tellShortages(progress: Progress, findings = checkShortages()): Promise<void> {
  for (const { ok, name, found, needed, fix } of await findings)
    if (!ok) progress(`${name} may run short: ${found}, needed: ${needed}${fix === undefined ? "" : `; ${fix}`}`);
}

async function ask(questions: readonly Question[]): Promise<HostFinding[]> {
  return (await Promise.all(questions.map((question) => question()))).filter((finding) => finding !== undefined);
}

/**
 * As root, installs the Debian packages that {@link checkHost} does not find, with a progress line; otherwise does nothing.
 *
 * @returns the packages installed.
 * @throws MeshproofError ERR_MISSING_PROGRAM if apt-get fails.
 */
export async function installMissing(options: { progress: Progress; signal?: AbortSignal }): Promise<string[]> {
  const findings = await checkHost();
  const packages = [...new Set(findings.flatMap((finding) => (finding.ok ? [] : (finding.packages ?? []))))];
  if (!isRoot() || packages.length === 0) return [];
  options.progress(`installing ${packages.join(", ")} on this machine (apt-get install) …`);
  const apt = (...args: string[]) =>
    execa("apt-get", ["-q", "-y", ...args], {
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdin: "ignore",
      all: true,
      reject: false,
      ...(options.signal ? { cancelSignal: options.signal } : {}),
    });
  // Its failure shows in what follows, if it matters.
  await apt("update");
  const done = await apt("install", "--no-install-recommends", ...packages);
  if (options.signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", "interrupted");
  if (done.failed)
    throw new MeshproofError(
      "ERR_MISSING_PROGRAM",
      `apt-get install ${packages.join(" ")} failed:\n  ${done.all.trimEnd().split("\n").slice(-10).join("\n  ")}`,
      { cause: done },
    );
  return packages;
}

const docker: Question = async () => {
  const version = await output("docker", "version", "--format", "{{.Server.Version}}");
  return {
    name: "Docker",
    ok: version !== undefined,
    found: version ?? "no Docker that answers",
    needed: "Docker, for --cluster kind",
    ...(version === undefined ? { fix: "start Docker, or use --cluster existing" } : {}),
  };
};

const system = (platform: string): Promise<HostFinding> => {
  const ok = platform === "linux" && ["x64", "arm64"].includes(process.arch);
  return Promise.resolve({
    name: "system",
    ok,
    found: `${platform} on ${process.arch}`,
    needed: "Linux on x64 or arm64, for the embedded cluster",
    ...(ok ? {} : { fix: "use --cluster kind (with Docker), --cluster existing, or a Linux machine" }),
  });
};

const kernel: Question = async () => {
  const ok = compareVersions(numberOf(release()), KERNEL) >= 0;
  return {
    name: "kernel",
    ok,
    found: release(),
    needed: `${KERNEL} or newer`,
    ...(ok ? {} : { fix: "use a newer kernel (Debian 12, Ubuntu 22.04, or later)" }),
  };
};

const utilLinux: Question = async () => {
  const missing = await missingPrograms(["unshare", "setpriv", "nsenter", "mount", "flock"]);
  const version = numberOf((await output("unshare", "--version")) ?? "");
  const least = isRoot() ? UTIL_LINUX.root : UTIL_LINUX.rootless;
  const ok = missing.length === 0 && compareVersions(version, least) >= 0;
  return {
    name: "util-linux",
    ok,
    found: missing.length ? `no ${missing.join(", ")}` : version,
    needed: `unshare, setpriv, nsenter, mount and flock, ${least} or newer`,
    ...(ok
      ? {}
      : missing.length
        ? await install("util-linux", "mount")
        : { fix: "use a newer distribution, or run as root" }),
  };
};

const SUBORDINATE = "subordinate ids";

const subordinateIds: Question = async () => {
  if (isRoot()) return undefined;
  const { username, uid } = userInfo();
  const needed = `newuidmap, newgidmap, and ${SUBORDINATE_IDS} ids in /etc/subuid and /etc/subgid, or root`;
  const missing = await missingPrograms(["newuidmap", "newgidmap"]);
  if (missing.length)
    return { name: SUBORDINATE, ok: false, found: `no ${missing.join(", ")}`, needed, ...(await install("uidmap")) };
  const files = ["/etc/subuid", "/etc/subgid"];
  const texts = await Promise.all(files.map((file) => readFile(file, "utf8").catch(() => "")));
  const lacking = files.filter((_, i) => countSubordinateIds(texts[i] ?? "", username, uid) < SUBORDINATE_IDS);
  const ok = lacking.length === 0;
  const first = firstFreeId(texts.join("\n"));
  const range = `${first}-${first + SUBORDINATE_IDS - 1}`;
  return {
    name: SUBORDINATE,
    ok,
    found: ok ? "enough of them" : `too few for ${username} in ${lacking.join(" and ")}`,
    needed,
    ...(ok ? {} : { fix: `sudo usermod --add-subuids ${range} --add-subgids ${range} ${username}` }),
  };
};

/** The lowest id behind all ranges of files in the format of subuid(5); useradd's own start at 100000. */
export function firstFreeId(text: string): number {
  const ends = text.split("\n").map((line) =>
    line
      .split(":")
      .slice(1)
      .reduce((sum, field) => sum + Number(field), 0),
  );
  return Math.max(100000, ...ends.filter(Number.isFinite));
}

/** How many ids a file in the format of subuid(5) gives to a user, named or by number. */
export function countSubordinateIds(text: string, user: string, uid: number): number {
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .filter(([owner]) => owner === user || owner === `${uid}`)
    .reduce((sum, [, , count]) => sum + (Number(count) || 0), 0);
}

/** Only a build from source needs them. If `auto` falls back to a build, its error names what is missing. */
const packageTools: Question = async () => {
  const missing = await missingPrograms(PACKAGE_TOOLS);
  const [root] = await allComponents([]);
  const wanted = sourceFrom() === "source" && !(root && (await isPresent(root, cacheRoot())));
  const ok = missing.length === 0 || !wanted;
  const needed = "apt-get and dpkg-deb, to unpack Debian packages";
  return {
    name: "apt",
    ok,
    found: missing.length === 0 ? PACKAGE_TOOLS.join(" and ") : `no ${missing.join(", ")}`,
    needed: wanted ? needed : `nothing: if they are missing, images are used instead of Debian packages`,
    ...(ok ? {} : { fix: "use --components images, a distribution with apt, or --cluster existing" }),
  };
};

const go: Question = async () => {
  const own = await machineGo();
  return {
    name: "Go",
    ok: true,
    found: own ? `Go ${own.version}` : "none",
    needed: `nothing: a build from source downloads ${goToolchain.source} if the machine's is missing or too old`,
  };
};

const disk: Question = async () => {
  const cache = cacheRoot();
  const space = await statfs(await nearestExisting(cache));
  const free = space.bavail * space.bsize;
  const present = await Promise.all((await allComponents()).map((component) => isPresent(component, cache)));
  const builds = sourceFrom() === "source";
  const needed = present.every(Boolean) ? GIB / 4 : builds ? BUILD_SPACE : IMAGE_SPACE;
  const ok = free >= needed;
  return {
    name: "disk",
    ok,
    found: `${gib(free)} free at ${cache}`,
    needed: `${gib(needed)}${needed === IMAGE_SPACE ? `; ${gib(BUILD_SPACE)} where components are built` : ""}`,
    ...(ok ? {} : { fix: "free some space, or name a folder on another disk: export MESHPROOF_CACHE=…" }),
  };
};

const memory: Question = async () => {
  // Heeds the memory limit of a container as well.
  const free = process.availableMemory();
  const ok = free >= MEMORY;
  return {
    name: "memory",
    ok,
    found: `${gib(free)} available`,
    needed: gib(MEMORY),
    ...(ok ? {} : { fix: "end other programs, or use a machine with more memory" }),
  };
};

/** Each Envoy, pilot-agent and kube-apiserver watches files: past this limit they end with "too many open files". */
const inotify: Question = async () => {
  const limit = Number(await readFile("/proc/sys/fs/inotify/max_user_instances", "utf8"));
  const used = await inotifyInstances();
  const ok = limit - used >= INOTIFY;
  const wanted = 2 ** Math.ceil(Math.log2(used + INOTIFY));
  return {
    name: "inotify instances",
    ok,
    found: `${used} of ${limit} in use (fs.inotify.max_user_instances)`,
    needed: `${INOTIFY} left`,
    ...(ok ? {} : { fix: sudo(`sysctl -w fs.inotify.max_user_instances=${wanted}`) }),
  };
};

/** Of the processes that this user can look into. The limit counts by user, so root may see more than count against its own. */
async function inotifyInstances(): Promise<number> {
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const counts = await inLanes(processes, async (pid) => {
    const folder = `/proc/${pid}/fd`;
    const links = (await readdir(folder).catch(() => [])).map((fd) => readlink(join(folder, fd)).catch(() => ""));
    return (await Promise.all(links)).filter((target) => target === "anon_inode:inotify").length;
  });
  return counts.reduce((sum, count) => sum + count, 0);
}

/** The namespaces that the cluster lives in, as util-linux's unshare makes them; inside there is a user namespace for the pods. */
const NAMESPACES = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];

function tryInside(script: string, mapAuto = false) {
  const user = isRoot() ? [] : ["--user", "--map-root-user", ...(mapAuto ? ["--map-auto"] : [])];
  return execa("unshare", [...user, ...NAMESPACES, "sh", "-c", script], { reject: false, all: true, stdin: "ignore" });
}

async function checkNamespaces(mapAuto: boolean): Promise<HostFinding> {
  const tried = await tryInside("unshare --user true", mapAuto);
  const name = isRoot() ? "namespaces" : "user namespaces";
  const needed = "user, network, mount and PID namespaces";
  if (!tried.failed) return { name, ok: true, found: "can be made", needed };
  const sysctls: Record<string, string> = {};
  for (const key of Object.keys(FORBIDDEN)) {
    const value = await readFile(join("/proc/sys", ...key.split(".")), "utf8").catch(() => undefined);
    if (value !== undefined) sysctls[key] = value.trim();
  }
  const reason = forbiddenBy(sysctls);
  return {
    name,
    ok: false,
    found: reason ? `${reason.key} = ${reason.value}` : (tried.all ?? "").trim().split("\n").at(-1) || "unshare failed",
    needed,
    fix: reason
      ? sudo(`sysctl -w ${reason.key}=${reason.wanted}`)
      : isRoot()
        ? "run the container with --privileged"
        : "run as root, or allow user namespaces to this user",
  };
}

/** Kernel settings that forbid user namespaces: the value that does, and the one that allows them. */
const FORBIDDEN: Readonly<Record<string, { readonly value: string; readonly wanted: string }>> = {
  "kernel.unprivileged_userns_clone": { value: "0", wanted: "1" },
  "kernel.apparmor_restrict_unprivileged_userns": { value: "1", wanted: "0" },
  "user.max_user_namespaces": { value: "0", wanted: "15000" },
};

/** The first of these settings that forbids user namespaces. */
export function forbiddenBy(sysctls: Readonly<Record<string, string>>) {
  for (const [key, { value, wanted }] of Object.entries(FORBIDDEN))
    if (sysctls[key] === value) return { key, value, wanted };
  return undefined;
}

const overlay: Question = async () => {
  const tried = await tryInside(
    // A place that every Linux has, and that no PATH is below.
    "mount -t tmpfs none /sys && cd /sys && mkdir lower upper work merged && " +
      "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged",
  );
  return {
    name: "overlay",
    ok: !tried.failed,
    found: tried.failed ? lastLine(tried.all) : "can be mounted",
    needed: "overlay file systems",
    ...(tried.failed ? { fix: sudo("modprobe overlay") } : {}),
  };
};

/** What istio-iptables, kube-proxy and the node's network need of the kernel. */
const RULES = [
  "export PATH=/usr/sbin:/usr/bin:/sbin:/bin",
  "iptables -t nat -A OUTPUT -p tcp -m owner --uid-owner 1337 -j RETURN",
  "iptables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 15001",
  "ip6tables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 15001",
  "nft add table ip meshproof",
  "nft add chain ip meshproof c '{ type nat hook output priority -100; }'",
  "nft add rule ip meshproof c ip daddr 192.0.2.1 tcp dport 80 dnat to 192.0.2.2:80",
  "ip link add name br0 type bridge",
  "ip link add name a type veth peer name b",
];

const netfilter: Question = async () => {
  const cache = cacheRoot();
  const [component] = await allComponents([]);
  const { recipe = debianRoot } = (component && (await presentOf(component, { cache, hint: "" }))) ?? {};
  const root = await inspectEntry(cache, await entryName(recipe));
  const needed = "nf_tables with nat, xt_owner, bridge and veth in the kernel";
  if (root.state !== "present")
    return { name: "netfilter", ok: true, found: "not tried: its programs come with the components", needed };
  const tried = await tryInside(
    `exec chroot '${root.component.dir}' /bin/sh -ec '${RULES.join("\n").replaceAll("'", `'\\''`)}'`,
  );
  return {
    name: "netfilter",
    ok: !tried.failed,
    found: tried.failed ? lastLine(tried.all) : "rules and links can be made",
    needed,
    ...(tried.failed ? { fix: sudo("modprobe -a nf_tables nft_compat nft_nat xt_owner xt_REDIRECT bridge veth") } : {}),
  };
};

const lastLine = (text: string | undefined) => (text ?? "").trim().split("\n").at(-1) || "it failed without a word";

/** The first version number in a text, or `0`. */
const numberOf = (text: string) => /\d+(?:\.\d+)+/.exec(text)?.[0] ?? "0";

async function output(program: string, ...args: string[]): Promise<string | undefined> {
  const done = await execa(program, args, { reject: false, stdin: "ignore" });
  return done.failed ? undefined : done.stdout;
}

async function nearestExisting(path: string): Promise<string> {
  for (let dir = path; ; dir = dirname(dir)) {
    const exists = await access(dir).then(
      () => true,
      () => false,
    );
    if (exists || dir === dirname(dir)) return dir;
  }
}
