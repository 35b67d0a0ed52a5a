import { cp, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { distribution, gatherCertificates, IPTABLES_LINKS, unpackPackages } from "../../clusters/components/debian.ts";
import { sha256OfFile } from "../../clusters/components/manifest.ts";
import type { Recipe } from "../../clusters/components/recipe.ts";

/** Raised when the code below makes another root out of the same packages and files. */
const REVISION = "1";

/** What a node runs and what kubelet, kube-proxy and kubeadm call. */
const PACKAGES = [
  "base-files",
  "bash",
  "ca-certificates",
  // A pause program for pods: `catatonit -P` waits and reaps, statically linked.
  "catatonit",
  "conntrack",
  "containerd",
  "containernetworking-plugins",
  "coreutils",
  "curl",
  "dash",
  "ethtool",
  "findutils",
  "grep",
  "gzip",
  "hostname",
  "iproute2",
  "iptables",
  "jq",
  "kmod",
  "mount",
  "nftables",
  "procps",
  "runc",
  "sed",
  "socat",
  "systemd",
  "systemd-sysv",
  "tar",
  "util-linux",
];

const REMOVED = [
  "etc/init.d",
  "usr/share/bash-completion",
  "usr/share/bug",
  "usr/share/doc",
  "usr/share/doc-base",
  "usr/share/i18n",
  "usr/share/info",
  "usr/share/lintian",
  "usr/share/locale",
  "usr/share/man",
  "usr/share/zoneinfo",
  // What Debian's units want at boot is for machines; kind's node has two units of its own.
  "etc/systemd/system/multi-user.target.wants",
  "etc/systemd/system/getty.target.wants",
  "usr/lib/systemd/system/multi-user.target.wants",
  "usr/lib/systemd/system/local-fs.target.wants",
  "usr/lib/systemd/system/basic.target.wants",
  "usr/lib/systemd/system/containerd.service",
];

const DIRECTORIES = [
  "dev",
  "etc/cni/net.d",
  "etc/kubernetes/manifests",
  "etc/ssl/certs",
  "kind",
  "mnt",
  "opt/cni",
  "proc",
  "root",
  "run/lock",
  "sys",
  "tmp",
  "usr/local/bin",
  "var/lib/kubelet",
  "var/log",
  "var/tmp",
];

/** Units that have nothing to do in a container, or would change the machine. */
const MASKED = [
  "console-getty.service",
  "dev-hugepages.mount",
  "getty.target",
  "proc-sys-fs-binfmt_misc.automount",
  "sys-fs-fuse-connections.mount",
  "sys-kernel-config.mount",
  "sys-kernel-debug.mount",
  "sys-kernel-tracing.mount",
  "systemd-binfmt.service",
  "systemd-firstboot.service",
  "systemd-initctl.socket",
  "systemd-journald-audit.socket",
  "systemd-logind.service",
  "systemd-modules-load.service",
  "systemd-pstore.service",
  "systemd-random-seed.service",
  "systemd-remount-fs.service",
  "systemd-repart.service",
  "systemd-sysctl.service",
  "systemd-sysusers.service",
  "systemd-tmpfiles-setup.service",
  "systemd-udevd.service",
  "systemd-udev-trigger.service",
  "systemd-update-utmp.service",
];

const ENABLED = ["containerd.service", "kubelet.service"];

const LINKS: Readonly<Record<string, string>> = {
  "etc/mtab": "../proc/self/mounts",
  "etc/systemd/system/default.target": "/usr/lib/systemd/system/multi-user.target",
  "opt/cni/bin": "/usr/lib/cni",
  "usr/bin/awk": "mawk",
  ...IPTABLES_LINKS,
  "var/run": "/run",
  "var/lock": "/run/lock",
  ...Object.fromEntries(MASKED.map((unit) => [`etc/systemd/system/${unit}`, "/dev/null"])),
  ...Object.fromEntries(
    ENABLED.map((unit) => [`etc/systemd/system/multi-user.target.wants/${unit}`, `/etc/systemd/system/${unit}`]),
  ),
};

/** Our part of the node: its entry point, units, and settings. */
export const NODE_FILES = join(import.meta.dirname, "node-files");

/** `path hash` of every file below a folder, in order. */
export async function hashesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.sort().map(async (file) => `${file.slice(folder.length)} ${await sha256OfFile(file)}`));
}

/** The file system of a kind node out of Debian packages, without Kubernetes and without images. */
export const nodeRoot: Recipe = {
  name: "kind-node-root",
  version: distribution(),
  source: `Debian packages of this machine's apt sources: ${PACKAGES.join(" ")}`,
  effort: "a download of about 100 MB",
  async inputs() {
    const rules = [PACKAGES, REMOVED, DIRECTORIES, Object.entries(LINKS).flat()];
    return [REVISION, ...rules.map((rule) => rule.join(" ")), ...(await hashesBelow(NODE_FILES))];
  },
  async build(shop) {
    const root = shop.files;
    const versions = await unpackPackages(shop, PACKAGES);
    await gatherCertificates(root);
    for (const path of REMOVED) await rm(join(root, path), { recursive: true, force: true });
    for (const path of ["var/run", "var/lock"]) await rm(join(root, path), { recursive: true, force: true });
    for (const path of DIRECTORIES) await mkdir(join(root, path), { recursive: true });
    for (const [path, target] of Object.entries(LINKS)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await rm(join(root, path), { recursive: true, force: true });
      await symlink(target, join(root, path));
    }
    await cp(NODE_FILES, root, { recursive: true });
    for (const path of ["etc/hosts", "etc/hostname", "etc/resolv.conf"]) await writeFile(join(root, path), "");
    return versions;
  },
};
