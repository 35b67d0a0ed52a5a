import type { V1Container, V1Pod } from "@kubernetes/client-node";
import { ContainerConfigError } from "./env.ts";

/** The user and capabilities of a container's first process. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Bounding set, without the `CAP_` prefix, lower case. */
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
}

/** containerd's default set but `mknod`: no cgroup keeps a device node of a pod from the machine's disks here. */
const DEFAULT_CAPABILITIES =
  "chown dac_override fsetid fowner net_raw setgid setuid setfcap setpcap net_bind_service sys_chroot kill audit_write".split(
    " ",
  );

/**
 * Reads the security context of pod and container (container overrides pod overrides image). `privileged` grants nothing
 * more, and every capability applies only to the pods' user namespace.
 * @param primaryGroup the group that the image's /etc/passwd gives a user
 * @param available capabilities that this machine can give; others are left out of `add: [ALL]`
 * @throws ContainerConfigError for uid 0 with runAsNonRoot.
 */
export function identityOf(
  pod: V1Pod,
  container: V1Container,
  imageUser: number,
  primaryGroup: (uid: number) => number,
  available: ReadonlySet<string>,
): Identity {
  const shared = pod.spec?.securityContext;
  const own = container.securityContext;
  const uid = own?.runAsUser ?? shared?.runAsUser ?? imageUser;
  if (uid === 0 && (own?.runAsNonRoot ?? shared?.runAsNonRoot))
    throw new ContainerConfigError(
      own?.runAsUser === 0 || shared?.runAsUser === 0
        ? "container's runAsUser breaks non-root policy"
        : "container has runAsNonRoot and image will run as root",
    );
  const gid = own?.runAsGroup ?? shared?.runAsGroup ?? primaryGroup(uid);
  const groups = new Set([
    ...(shared?.supplementalGroups ?? []),
    ...(shared?.fsGroup === undefined ? [] : [shared.fsGroup]),
  ]);

  const add = (own?.capabilities?.add ?? []).map(capabilityName);
  const drop = (own?.capabilities?.drop ?? []).map(capabilityName);
  const capabilities = new Set(drop.includes("all") ? [] : DEFAULT_CAPABILITIES);
  for (const name of drop) capabilities.delete(name);
  for (const name of add.includes("all") ? available : add) if (!drop.includes(name)) capabilities.add(name);
  return {
    uid,
    gid,
    groups: [...groups],
    capabilities: [...capabilities].filter((name) => available.has(name)).sort(),
    noNewPrivileges: own?.allowPrivilegeEscalation === false,
  };
}

/**
 * The settings of a container's security context that are not granted, one sentence each; for events.
 * @param available as for {@link identityOf}
 */
export function ungranted({ securityContext: own }: V1Container, available: ReadonlySet<string>): string[] {
  const missing = (own?.capabilities?.add ?? []).filter(
    (name) => capabilityName(name) !== "all" && !available.has(capabilityName(name)),
  );
  return [
    ...(own?.privileged ? ["privileged grants nothing here: pods are in a user namespace of their own"] : []),
    ...(missing.length > 0 ? [`this machine cannot grant ${missing.join(", ")}`] : []),
  ];
}

/** The `setpriv` arguments that change root to this identity. Resource limits and oom_score_adj do not change. */
export function setprivArgs(identity: Identity): string[] {
  return [
    "setpriv",
    `--reuid=${identity.uid}`,
    `--regid=${identity.gid}`,
    identity.groups.length ? `--groups=${identity.groups.join(",")}` : "--clear-groups",
    "--inh-caps=-all",
    `--bounding-set=${["-all", ...identity.capabilities.map((name) => `+${name}`)].join(",")}`,
    ...(identity.noNewPrivileges ? ["--no-new-privs"] : []),
  ];
}

const CAPABILITIES = (
  "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service " +
  "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin " +
  "sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override " +
  "mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
).split(" ");

/** Names of the bits of `CapBnd` in /proc/self/status (linux/capability.h, in order). */
export function capabilitiesOf(mask: bigint): Set<string> {
  return new Set(CAPABILITIES.filter((_, bit) => (mask >> BigInt(bit)) & 1n));
}

function capabilityName(name: string): string {
  return name.toLowerCase().replace(/^cap_/, "");
}

/** The primary group of a user in an /etc/passwd, 0 if the user is not listed (as in container runtimes). */
export function primaryGroupIn(passwd: string, uid: number): number {
  for (const line of passwd.split("\n")) {
    const [, , id, gid] = line.split(":");
    if (id !== undefined && gid !== undefined && id !== "" && Number(id) === uid) return Number(gid);
  }
  return 0;
}
