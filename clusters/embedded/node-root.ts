import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { execa } from "execa";
import { NETWORK_LINES, NETWORK_SETTINGS } from "./control-plane.ts";
import { NODE_BIN, NODE_CONFIG, NODE_SOCKETS } from "./node-layout.ts";

/**
 * The node's own file system: the shared Debian root, with the kernel's file systems and tmpfs where programs write.
 * All of it is mounted in this process's mount namespace and ends with it.
 */
const MOUNTS = `
root=$1 state=$2; shift 2
mount -t tmpfs -o mode=0755 meshproof "$state"
mkdir "$state/root"
mount --bind "$root" "$state/root"
cd "$state/root"
mount --rbind /proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=0755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mkdir -p run/lock run/netns .${NODE_BIN} .${NODE_CONFIG} .${NODE_SOCKETS}
chmod 0700 .${NODE_CONFIG} .${NODE_SOCKETS}
for program; do
  : > ".${NODE_BIN}/\${program##*/}"
  mount --bind "$program" ".${NODE_BIN}/\${program##*/}"
done
`;

/**
 * Mounts the node's root at `<state>/root` and creates the node's network.
 * @param programs absolute paths of static programs, which appear in {@link NODE_BIN}
 * @returns the path of the root, for `chroot`
 */
export async function makeNode(options: {
  readonly debianRoot: string;
  readonly state: string;
  readonly programs: readonly string[];
}): Promise<string> {
  const root = `${options.state}/root`;
  await run("its file system", "sh", ["-euc", MOUNTS, "sh", options.debianRoot, options.state, ...options.programs]);
  await run("its network", "chroot", [root, "ip", "-batch", "-"], NETWORK_LINES.join("\n"));
  await Promise.all(Object.entries(NETWORK_SETTINGS).map(([key, value]) => writeFile(`/proc/sys/net/${key}`, value)));
  // This file exists only if the host uses br_netfilter. Pods must reach each other by the node's routing on every host.
  const bridgeFilter = "/proc/sys/net/bridge/bridge-nf-call-iptables";
  if (existsSync(bridgeFilter)) await writeFile(bridgeFilter, "0");
  return root;
}

async function run(what: string, file: string, args: readonly string[], input = ""): Promise<void> {
  const { failed, stderr, shortMessage } = await execa(file, args, { input, reject: false });
  if (failed) throw new Error(`the node cannot have ${what}: ${stderr || shortMessage}`);
}
