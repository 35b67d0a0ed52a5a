import { dirname } from "node:path/posix";
import { quote } from "./shell.ts";

/** One mount of a container, as seen inside. */
export interface ContainerMount {
  /** On the node. */
  readonly source: string;
  /** In the container. */
  readonly target: string;
  readonly readOnly: boolean;
  readonly isFile: boolean;
  /** Mount options of the source that a user namespace cannot take away, for example `nosuid`. */
  readonly locked?: readonly string[];
}

export interface RootPlan {
  /** Directories, topmost first. */
  readonly lower: readonly string[];
  /** Holds `upper/.old`, `work` and `merged`, and gets the fstab files. */
  readonly dir: string;
  /** If the cluster is in a user namespace, overlayfs stores its marks in `user.*` attributes. */
  readonly inUserNamespace: boolean;
  /** Mount of the pods' user namespace. */
  readonly userNamespace: string;
  readonly devDir: string;
  readonly shmDir: string;
  readonly mounts: readonly ContainerMount[];
  readonly readOnlyRoot: boolean;
  readonly workingDir: string;
  /** The final program with its arguments: setpriv, env, then the container's own. */
  readonly exec: readonly string[];
}

export interface RootScript {
  /** For `sh -eu -c`, in new mount and PID namespaces; fd 2 takes `pid N`, then `ready`, or what went wrong; fd 3 is the container's stderr. */
  readonly script: string;
  /** Files to write in `dir` before: what is mounted outside of the pods' user namespace, and then inside. */
  readonly baseFstab: string;
  readonly fstab: string;
  readonly fileFstab: string;
}

/** The parts of /proc that would show or change the machine (runc's default masked and read-only paths). */
const READ_ONLY_PROC = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const MASKED_PROC = ["/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug"];

const OLD = "/.old";

/**
 * Plans a container's root: overlay, pivot_root, and all other mounts in three calls of `mount --all`, so that a start
 * needs a dozen processes instead of fifty.
 *
 * First, outside of the pods' user namespace and by the node's programs: the overlay, whose upper layer is still empty, and in
 * it /proc, /sys and /dev with what is read-only or hidden. Then in the pods' user namespace, in a mount namespace of its own:
 * the earlier mounts are locked there (mount_namespaces(7)) for all processes of the container. After volumes are mounted, any
 * program may be the pod's own: none of them has a capability over the machine.
 *
 * Volumes are mounted after pivot_root, with the node's files under /.old, so that symbolic links of the image are
 * followed inside the image's root and never point to the node's files.
 * @param exists whether a path of /proc exists on this kernel
 */
export function planRoot(plan: RootPlan, exists: (path: string) => boolean): RootScript {
  const overlay = [
    "nodev",
    `lowerdir=${plan.lower.map(escapeOverlay).join(":")}`,
    `upperdir=${escapeOverlay(`${plan.dir}/upper`)}`,
    `workdir=${escapeOverlay(`${plan.dir}/work`)}`,
    ...(plan.inUserNamespace ? ["userxattr"] : []),
  ].join(",");

  const bind = (mount: ContainerMount): string =>
    fstabLine(OLD + mount.source, mount.target, "none", [
      mount.isFile ? "bind" : "rbind",
      ...(mount.readOnly ? ["ro"] : []),
      ...(mount.readOnly ? (mount.locked ?? []) : []),
      ...(mount.isFile ? [] : ["X-mount.mkdir"]),
    ]);
  const ordered = [...plan.mounts].sort((a, b) => a.target.split("/").length - b.target.split("/").length);
  const directories = ordered.filter((mount) => !mount.isFile);
  const files = ordered.filter((mount) => mount.isFile);

  const merged = `${plan.dir}/merged`;
  const base = [
    fstabLine(plan.devDir, `${merged}/dev`, "none", ["rbind", "ro"]),
    fstabLine("devpts", `${merged}/dev/pts`, "devpts", [
      "newinstance",
      "ptmxmode=0666",
      "mode=0620",
      "nosuid",
      "noexec",
    ]),
    fstabLine(plan.shmDir, `${merged}/dev/shm`, "none", ["bind"]),
    fstabLine("sysfs", `${merged}/sys`, "sysfs", ["ro", "nosuid", "nodev", "noexec"]),
    ...READ_ONLY_PROC.filter(exists).map((path) =>
      fstabLine(merged + path, merged + path, "none", ["bind", "ro", "nosuid", "nodev", "noexec"]),
    ),
    ...MASKED_PROC.filter(exists).map((path) => fstabLine(`${plan.devDir}/null`, merged + path, "none", ["bind"])),
  ];
  const old = `${OLD}${quote(plan.dir)}`;
  const inside = [
    `mount --rbind ${quote(merged)} ${quote(merged)}`,
    `cd ${quote(merged)}`,
    `pivot_root . ${OLD.slice(1)}`,
    "cd /",
    // From here on the image's programs run, wherever the shell has found the node's.
    "hash -r",
    ...(directories.length ? [`mount -a -T ${old}/fstab`] : []),
    ...files
      .map(({ target }) => target)
      .map((target) => `[ -e ${quote(target)} ] || { mkdir -p ${quote(dirname(target))}; : >${quote(target)}; }`),
    ...(files.length ? [`mount -a -T ${old}/fstab.files`] : []),
    `[ -d ${quote(plan.workingDir)} ] || mkdir -p ${quote(plan.workingDir)}`,
    `umount -l ${OLD}`,
    `rmdir ${OLD}`,
    // Options of outer mounts must be repeated.
    ...(plan.readOnlyRoot ? ["mount -o remount,bind,ro,nodev /"] : []),
    "echo ready >&2",
    "exec 2>&3 3>&-",
    `exec ${plan.exec.map(quote).join(" ")}`,
  ].join("\n");
  const script = [
    `mount -t overlay -o ${quote(overlay)} overlay ${quote(merged)}`,
    // The shell's own pid in the node's /proc, which is still mounted here.
    "read -r pid _ </proc/self/stat",
    'echo "pid $pid" >&2',
    `mount -t proc -o nosuid,nodev,noexec proc ${quote(`${merged}/proc`)}`,
    `mount -a -T ${quote(`${plan.dir}/fstab.base`)}`,
    `exec nsenter --user=${quote(plan.userNamespace)} unshare --mount sh -eu -c ${quote(inside)}`,
  ].join("\n");
  return {
    script,
    baseFstab: base.join(""),
    fstab: directories.map(bind).join(""),
    fileFstab: files.map(bind).join(""),
  };
}

function fstabLine(source: string, target: string, type: string, options: readonly string[]): string {
  return `${escapeFstab(source)} ${escapeFstab(target)} ${type} ${options.join(",")} 0 0\n`;
}

/** fstab(5): blanks are written as octal escapes. */
function escapeFstab(path: string): string {
  return path.replace(/[\s\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/** Overlayfs: `:` and `,` part directories and options. */
function escapeOverlay(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}
