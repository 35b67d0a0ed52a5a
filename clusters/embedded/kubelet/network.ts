import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { quote } from "./shell.ts";
import { runTool } from "./tools.ts";

/** The namespaces that a pod's containers share. */
export interface Sandbox {
  readonly ip: string;
  readonly shmDir: string;
  /** The command line that runs a command in them. */
  enter(command: readonly string[]): readonly [string, ...string[]];
  remove(): Promise<void>;
}

export interface SandboxSpec {
  /** The pod's own directory on the node. */
  readonly dir: string;
  readonly hostname: string;
  readonly sysctls: readonly { readonly name: string; readonly value: string }[];
  /** Named pipes to make, for the containers' output. */
  readonly fifos: readonly string[];
  readonly hostNetwork: boolean;
}

/** Addresses of a pod network, given out in turn so that an address is not reused at once. */
export class AddressPool {
  readonly #base: number;
  readonly #size: number;
  readonly #taken = new Set<number>();
  #next = 2;

  /** @param cidr for example `10.244.0.0/24`; `.0`, `.1` (the node) and the last address are not given out */
  constructor(cidr: string) {
    const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(cidr);
    if (!match) throw new Error(`"${cidr}" is not an IPv4 network`);
    const [a = 0, b = 0, c = 0, d = 0, bits = 0] = match.slice(1).map(Number);
    this.#size = 2 ** (32 - bits);
    this.#base = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
  }

  /** @throws Error where all are taken. */
  take(): string {
    for (let tries = 0; tries < this.#size; tries++) {
      const offset = this.#next;
      this.#next = this.#next + 1 >= this.#size - 1 ? 2 : this.#next + 1;
      if (this.#taken.has(offset)) continue;
      this.#taken.add(offset);
      return format(this.#base + offset);
    }
    throw new Error("no address is left in the pod network");
  }

  release(ip: string): void {
    const value = ip.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
    this.#taken.delete(value - this.#base);
  }
}

function format(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** Makes pods' network namespaces and joins them to the node's bridge. */
export class Network {
  readonly #pool: AddressPool;
  readonly #options: {
    readonly nodeRoot: string;
    readonly nodeIp: string;
    readonly bridge: string;
    readonly userNamespace: string;
  };
  #count = 0;

  constructor(options: {
    readonly nodeRoot: string;
    readonly nodeIp: string;
    readonly bridge: string;
    readonly podCidr: string;
    /** Mount of the pods' user namespace. It owns their networks, so that istio-init may set up rules there. */
    readonly userNamespace: string;
  }) {
    this.#pool = new AddressPool(options.podCidr);
    this.#options = options;
  }

  async createSandbox(spec: SandboxSpec): Promise<Sandbox> {
    const { nodeRoot, nodeIp, bridge, userNamespace } = this.#options;
    const ip = spec.hostNetwork ? nodeIp : this.#pool.take();
    const link = `pod${this.#count++}`;
    const kinds = spec.hostNetwork ? ["uts", "ipc"] : ["net", "uts", "ipc"];
    const ns = `${spec.dir}/ns`;
    const shmDir = `${spec.dir}/shm`;
    mkdirSync(ns, { recursive: true });
    mkdirSync(shmDir, { recursive: true });
    chmodSync(shmDir, 0o1777);
    for (const kind of kinds) writeFileSync(`${ns}/${kind}`, "");
    writeFileSync(
      `${ns}/links`,
      [
        // The other end is in the kubelet's own network namespace, which is the node's.
        `link add eth0 type veth peer name ${link} netns ${process.pid}`,
        "link set lo up",
        // A pod's only neighbour is the node. If other pods were neighbours too, their answers would bypass the node's
        // address translation, and a Service would work only with br_netfilter in the kernel.
        `addr add ${ip}/32 dev eth0`,
        "link set eth0 up",
        `route add ${nodeIp} dev eth0`,
        `route add default via ${nodeIp}`,
        "",
      ].join("\n"),
    );
    const inside = [
      // Only the machine's own root may write the file; in a user namespace sethostname(2) is needed.
      'printf %s "$2" 2>/dev/null >/proc/sys/kernel/hostname || chroot "$1" hostname "$2" 2>/dev/null || hostname "$2"',
      ...(spec.hostNetwork ? [] : ['chroot "$1" ip -batch - <"$3"/links']),
      'shift 3; while [ $# -gt 0 ]; do printf %s "$2" >"/proc/sys/$1"; shift 2; done',
    ].join("\n");
    const sysctls = spec.sysctls.flatMap(({ name, value }) => [name.replaceAll(".", "/"), value]);
    // Created in the pods' user namespace, which then owns them, but configured from outside, where it has no privileges.
    const script = [
      ...(spec.fifos.length ? [`mkfifo -m 666 ${spec.fifos.map(quote).join(" ")}`] : []),
      "ns=$1 root=$2 host=$3 link=$4 bridge=$5 user=$6 inside=$7; shift 7",
      'mkfifo "$ns/made" "$ns/hold"',
      `nsenter --user="$user" unshare ${kinds.map((kind) => `--${kind}`).join(" ")} ` +
        `sh -c 'echo $$ >"$1/made"; read -r _ <"$1/hold"' sh "$ns" &`,
      'read -r pid <"$ns/made"',
      ...kinds.map((kind) => `mount --bind "/proc/$pid/ns/${kind}" "$ns/${kind}"`),
      `nsenter ${kinds.map((kind) => `--${kind}="$ns/${kind}"`).join(" ")} sh -eu -c "$inside" sh "$root" "$host" "$ns" ${sysctls.length ? '"$@"' : ""}`,
      'echo >"$ns/hold"',
      ...(spec.hostNetwork ? [] : ['chroot "$root" ip link set dev "$link" master "$bridge" up']),
    ].join("\n");
    const remove = async (): Promise<void> => {
      if (!spec.hostNetwork) this.#pool.release(ip);
      await runTool(["umount", ...kinds.map((kind) => `${ns}/${kind}`)]);
      rmSync(ns, { recursive: true, force: true });
    };
    try {
      const where = [ns, nodeRoot, spec.hostname, link, bridge, userNamespace];
      await runTool(["sh", "-eu", "-c", script, "sh", ...where, inside, ...sysctls]);
    } catch (error) {
      for (const fifo of spec.fifos) rmSync(fifo, { force: true });
      await remove().catch(() => undefined);
      throw error;
    }
    const enter = ["nsenter", ...kinds.map((kind) => `--${kind}=${ns}/${kind}`)] as const;
    return { ip, shmDir, enter: (command) => ["nsenter", ...enter.slice(1), ...command], remove };
  }
}
