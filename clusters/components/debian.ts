import { existsSync, readFileSync } from "node:fs";
import { appendFile, chmod, cp, lstat, mkdir, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

import { MeshproofError } from "../../harness/model/errors.ts";
import type { ImageComponent } from "./images.ts";
import { sha256OfFile } from "./manifest.ts";
import type { Recipe, Workshop } from "./recipe.ts";

/** Raised when the code below makes another root out of the same packages. */
const REVISION = "2";

/** What pods, the network set-up and kube-proxy need; their dependencies come with them. */
const PACKAGES = [
  "base-files",
  "bash",
  "dash",
  "coreutils",
  "grep",
  "sed",
  "tar",
  "findutils",
  "hostname",
  "procps",
  "util-linux",
  "mount",
  "iproute2",
  "iptables",
  "nftables",
  "conntrack",
  "ca-certificates",
  "openssl",
  "curl",
  "nginx",
  // Node.js is linked against these two.
  "libstdc++6",
  "libatomic1",
];

/** Dependencies for installing and configuring packages only, which does not happen here. */
const NOT_UNPACKED =
  /perl|^(dpkg|debconf|usrmerge|init-system-helpers|libdb5\.3|sysvinit-utils|passwd|adduser|gcc-\d+-base)_/;

/** What no program in a pod reads. */
const REMOVED = [
  "etc/cron.d",
  "etc/cron.daily",
  "etc/default",
  "etc/init.d",
  "etc/logrotate.d",
  "etc/nginx/modules-available",
  "etc/nginx/modules-enabled",
  "etc/nginx/sites-available",
  "etc/nginx/sites-enabled",
  "etc/nginx/snippets",
  "etc/rmt",
  "usr/lib/systemd",
  "usr/share/bash-completion",
  "usr/share/bug",
  "usr/share/doc",
  "usr/share/doc-base",
  "usr/share/gdb",
  "usr/share/i18n",
  "usr/share/info",
  "usr/share/lintian",
  "usr/share/locale",
  "usr/share/man",
  "usr/share/menu",
  "usr/share/nginx/modules",
  "usr/share/pixmaps",
  "usr/share/zoneinfo",
];

/** Places to mount on, and directories that maintainer scripts or the images of the catalogue would have made. */
const DIRECTORIES = [
  "dev",
  "etc/ssl/certs",
  "home/curl_user",
  "home/istio-proxy",
  "home/nonroot",
  "mnt",
  "opt",
  "proc",
  "root",
  "run/lock",
  "sys",
  "usr/local/bin",
  "usr/local/sbin",
  "var/cache/nginx",
  "var/lib/istio",
  "var/lib/nginx",
  "var/log/nginx",
  "var/www/html",
];

/** iptables in its nftables form, as update-alternatives chooses it. */
export const IPTABLES_LINKS: Readonly<Record<string, string>> = {
  "usr/sbin/iptables": "xtables-nft-multi",
  "usr/sbin/iptables-save": "xtables-nft-multi",
  "usr/sbin/iptables-restore": "xtables-nft-multi",
  "usr/sbin/ip6tables": "xtables-nft-multi",
  "usr/sbin/ip6tables-save": "xtables-nft-multi",
  "usr/sbin/ip6tables-restore": "xtables-nft-multi",
};

/** Links that maintainer scripts or update-alternatives would have made, as target by path. */
const LINKS: Readonly<Record<string, string>> = {
  "usr/bin/awk": "mawk",
  "usr/bin/which": "which.debianutils",
  ...IPTABLES_LINKS,
  "etc/mtab": "../proc/self/mounts",
  "var/run": "/run",
  "var/lock": "/run/lock",
  "var/log/nginx/access.log": "/dev/stdout",
  "var/log/nginx/error.log": "/dev/stderr",
};

/** Files that the kubelet mounts its own over, so that no pod has to copy the directory up. */
const EMPTY_FILES = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

const OWN_FILES = join(import.meta.dirname, "root-files");

/** The release whose packages apt finds: `12` for Debian's, else such as `ubuntu-24.04` (os-release(5)). */
export function distribution(): string {
  let text = "";
  try {
    text = readFileSync("/etc/os-release", "utf8");
  } catch {
    // Then doctor has more to say.
  }
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)`, "m").exec(text)?.[1] || "unknown";
  return field("ID") === "debian" ? field("VERSION_ID") : `${field("ID")}-${field("VERSION_ID")}`;
}

/** A small root file system out of Debian packages, shared by all pods. */
export const debianRoot: Recipe = {
  name: "debian",
  version: distribution(),
  source: `Debian packages of this machine's apt sources: ${PACKAGES.join(" ")}`,
  effort: "a download of about 40 MB",
  inputs: rootInputs,
  async build(shop) {
    const details = await unpackPackages(shop, PACKAGES);
    await finishRoot(shop.files);
    return details;
  },
};

/** What the image of Istio's proxy has besides, which no pod here needs. */
const LEFT_OUT = [
  ...REMOVED,
  "boot",
  "etc/apt",
  "etc/nginx",
  "etc/sudoers.d",
  "etc/systemd",
  "home/ubuntu",
  "usr/bin/perl.*",
  "usr/bin/tcpdump",
  "usr/sbin/nginx",
  "usr/lib/(\\w+-linux-gnu/)?perl.*",
  "usr/local/bin/(envoy|pilot-agent)",
  "usr/share/perl.*",
  "var/cache",
  "var/lib/(apt|dpkg|istio)",
];

/** What pods, the network set-up and kube-proxy run, and a library of Node.js; without /proc. */
const TRIED = [
  "export PATH=/usr/sbin:/usr/bin:/sbin:/bin", // the machine's may be another
  ...["ip -V", "nft --version", "iptables --version", "ip6tables --version", "curl --version", "nginx -v"],
  "ls /usr/lib/*/libstdc++.so.6",
].join("\n");

/**
 * The same root out of images, for a machine without apt: the file system of Istio's proxy, which is Ubuntu's with curl, iproute2,
 * iptables and nftables, and the program of the official nginx image.
 * @param istio the release of Istio whose proxy it is
 */
export function imageRoot(istio: string): ImageComponent {
  const proxy = `docker.io/istio/proxyv2:${istio}`;
  const nginx = "docker.io/library/nginx:1.28.0";
  return {
    name: debianRoot.name,
    version: `proxyv2-${istio}`,
    images: [
      { name: proxy, files: {}, except: new RegExp(`^(${LEFT_OUT.join("|")})(/|$)`) },
      {
        name: nginx,
        files: { "usr/sbin/nginx": ["usr/sbin/nginx"], "etc/nginx/mime.types": ["etc/nginx/mime.types"] },
      },
    ],
    effort: "a download of about 90 MB",
    inputs: rootInputs,
    finish: ({ files }) => finishRoot(files),
    async inspect({ files, run }) {
      // As the cluster does it: a user who is not root may change the root in a user namespace alone.
      const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
      await run(["unshare", ...user, `--root=${files}`, "/bin/sh", "-ec", TRIED]).catch((cause: unknown) => {
        if (!(cause instanceof MeshproofError) || cause.code === "ERR_INTERRUPTED") throw cause;
        throw new MeshproofError("ERR_COMPONENT", `a program of ${proxy} or ${nginx} does not run: ${cause.message}`, {
          hint: "use --components source: it takes Debian packages instead, and needs apt-get and dpkg-deb",
          cause,
        });
      });
      return {};
    },
  };
}

async function rootInputs(): Promise<string[]> {
  const own = (await readdir(OWN_FILES, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const files = own.map((entry) => join(entry.parentPath, entry.name)).sort();
  const hashes = await Promise.all(
    files.map(async (file) => `${file.slice(OWN_FILES.length)} ${await sha256OfFile(file)}`),
  );
  const rules = [PACKAGES, REMOVED, DIRECTORIES, EMPTY_FILES, Object.entries(LINKS).flat(), [NOT_UNPACKED.source]];
  return [REVISION, ...rules.map((rule) => rule.join(" ")), ...hashes];
}

/**
 * Unpacks Debian packages and what they depend on into `shop.files`, without running anything of theirs.
 * @returns their versions by name.
 */
export async function unpackPackages(shop: Workshop, packages: readonly string[]): Promise<Record<string, string>> {
  const details: Record<string, string> = {};
  for (const archive of await downloadPackages(shop, packages)) {
    const name = basename(archive);
    if (NOT_UNPACKED.test(name)) continue;
    await shop.run(["dpkg-deb", "-x", archive, shop.files]);
    const [pkg, version] = name.split("_");
    details[`${pkg}`] = decodeURIComponent(`${version}`);
  }
  await mergeUsr(shop.files);
  return details;
}

/**
 * Downloads the packages and their dependencies by an apt whose state is all below `work`: nothing counts as installed,
 * the machine's sources, keyrings, pins and proxies hold, and its hooks do not run. apt verifies the signatures.
 */
async function downloadPackages({ work, run, progress }: Workshop, packages: readonly string[]): Promise<string[]> {
  const archives = join(work, "cache", "archives");
  for (const dir of ["state/lists/partial", "cache/archives/partial", "log"])
    await mkdir(join(work, dir), { recursive: true });
  await writeFile(join(work, "status"), "");
  const config = join(work, "apt.conf");
  // apt.conf(5): the machine's hooks would clean its own cache or start programs of its own after our update.
  await writeFile(
    config,
    `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::Contents-deb;
Dir::State "${work}/state";
Dir::State::lists "${work}/state/lists";
Dir::State::status "${work}/status";
Dir::Cache "${work}/cache";
Dir::Cache::archives "${archives}";
Dir::Log "${work}/log";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Keep-Downloaded-Packages "true";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
`,
  );
  const apt: [string, ...string[]] = ["apt-get", "-c", config, "-q", "-y"];
  const env = { LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" };
  const update = await run([...apt, "update"], { env }).catch((error: unknown) => {
    if (error instanceof MeshproofError && error.code === "ERR_COMPONENT") return error;
    throw error;
  });
  // A third party's source that is out of order does not matter as long as the packages can be had.
  if (update instanceof MeshproofError)
    progress("apt-get update reported an error; going on with the sources that work");
  try {
    await run([...apt, "install", "--download-only", ...packages], { env });
  } catch (error) {
    throw update instanceof MeshproofError && error instanceof MeshproofError
      ? new MeshproofError(error.code, `${error.message}\nand before that ${update.message}`, {
          ...(error.hint === undefined ? {} : { hint: error.hint }),
          cause: error,
        })
      : error;
  }
  return (await readdir(archives))
    .filter((name) => name.endsWith(".deb"))
    .sort()
    .map((name) => join(archives, name));
}

/** Before Debian 13 packages ship files in /bin and /lib, since then base-files ships links there (Debian's usrmerge). */
async function mergeUsr(root: string): Promise<void> {
  for (const dir of ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]) {
    const [top, usr] = [join(root, dir), join(root, "usr", dir)];
    const stats = await lstat(top).catch(() => undefined);
    if (stats?.isSymbolicLink()) continue;
    if (stats) {
      await cp(top, usr, { recursive: true, verbatimSymlinks: true });
      await rm(top, { recursive: true });
    }
    if (existsSync(usr)) await symlink(`usr/${dir}`, top);
  }
}

async function finishRoot(root: string): Promise<void> {
  await gatherCertificates(root);
  for (const path of REMOVED) await rm(join(root, path), { recursive: true, force: true });
  // Character set conversion modules: megabytes that no program in a pod loads.
  for (const entry of await readdir(join(root, "usr/lib"), { withFileTypes: true }))
    if (entry.isDirectory()) await rm(join(root, "usr/lib", entry.name, "gconv"), { recursive: true, force: true });
  for (const path of ["var/run", "var/lock"]) await rm(join(root, path), { recursive: true, force: true });
  for (const path of DIRECTORIES) await mkdir(join(root, path), { recursive: true });
  for (const path of ["tmp", "var/tmp"]) {
    await mkdir(join(root, path), { recursive: true });
    await chmod(join(root, path), 0o1777);
  }
  for (const [path, target] of Object.entries(LINKS)) {
    await rm(join(root, path), { force: true });
    await symlink(target, join(root, path));
  }
  await cp(OWN_FILES, root, { recursive: true });
  for (const path of EMPTY_FILES) await writeFile(join(root, path), "");
}

/** What update-ca-certificates does: one bundle of everything that the package ca-certificates ships. */
export async function gatherCertificates(root: string): Promise<void> {
  const bundle = join(root, "etc/ssl/certs/ca-certificates.crt");
  const source = join(root, "usr/share/ca-certificates");
  // A root out of an image has the bundle already.
  if (!existsSync(source)) return;
  await mkdir(join(root, "etc/ssl/certs"), { recursive: true });
  await writeFile(bundle, "");
  for (const name of (await readdir(source, { recursive: true })).sort())
    if (name.endsWith(".crt")) await appendFile(bundle, (await readFile(join(source, name), "utf8")).trimEnd() + "\n");
  await rm(source, { recursive: true });
}
