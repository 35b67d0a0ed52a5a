export interface MountPoint {
  readonly path: string;
  readonly options: readonly string[];
}

/** Reads /proc/self/mountinfo (proc(5)): the fifth field is the mount point, the sixth its options. */
export function parseMountInfo(text: string): MountPoint[] {
  return text
    .split("\n")
    .map((line) => line.split(" "))
    .filter((fields) => fields.length > 6)
    .map((fields) => ({
      path: fields[4]!.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8))),
      options: fields[5]!.split(","),
    }));
}

/**
 * The options that a read-only bind mount of this path must repeat: inside a user namespace the kernel refuses a
 * remount that takes one of them away (mount_namespaces(7), locked flags).
 */
export function lockedOptions(mounts: readonly MountPoint[], path: string): string[] {
  const above = mounts
    // Later lines lie over earlier ones.
    .filter((mount) => mount.path === "/" || path === mount.path || path.startsWith(`${mount.path}/`))
    .reduce<MountPoint | undefined>(
      (best, mount) => (best && best.path.length > mount.path.length ? best : mount),
      undefined,
    );
  return (above?.options ?? []).filter((option) =>
    ["nosuid", "nodev", "noexec", "noatime", "nodiratime"].includes(option),
  );
}
