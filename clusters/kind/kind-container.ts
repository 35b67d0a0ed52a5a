import { existsSync } from "node:fs";
import { AbstractStartedContainer, GenericContainer, Wait, type StartedTestContainer } from "testcontainers";
import { API_PORT } from "./kubeadm.ts";
import { LABEL, ownerLabels, type Ownership } from "./labels.ts";

type HostConfig = GenericContainer["hostConfig"];

/** Docker's name of a cluster's container, and of the volume with its /var. */
export const containerName = (cluster: string): string => `meshproof-kind-${cluster}`;

/** How long systemd may take to boot. Measured: 1 to 3 s, mostly for copying the preloaded images. */
const BOOT_MS = 120_000;

/**
 * A container of a node image like `kindest/node`, with systemd, containerd and a kubelet that waits for kubeadm. It is
 * started like the containers of the kind command line.
 */
export class KindContainer extends GenericContainer {
  /**
   * @param image of the node, present in Docker
   * @param owner the cluster's name and the other data of its labels
   */
  constructor(image: string, owner: Ownership) {
    super(image);
    const { cluster } = owner;
    const labels = ownerLabels(owner);
    this.withName(containerName(cluster))
      .withHostname(containerName(cluster))
      .withLabels(labels)
      .withPrivilegedMode()
      .withSecurityOpt("seccomp=unconfined", "apparmor=unconfined")
      .withTmpFs({ "/run": "", "/tmp": "" })
      .withExposedPorts(API_PORT)
      .withEnvironment({ KUBECONFIG: "/etc/kubernetes/admin.conf" })
      .withStartupTimeout(BOOT_MS)
      // A terminal makes systemd's log lines raw, which the log strategy cannot read, so ask systemd itself.
      .withWaitStrategy(Wait.forSuccessfulCommand("systemctl is-active --quiet multi-user.target"))
      .withAutoCleanup(owner.kept === undefined);
    // systemd writes to /dev/console, which exists only with a terminal; SIGRTMIN+3 is its signal to halt (systemd(1)).
    this.createOpts = { ...this.createOpts, Tty: true, StopSignal: "SIGRTMIN+3" };
    const hostConfig: HostConfig & { CgroupnsMode: "private" } = {
      ...this.hostConfig,
      CgroupnsMode: "private",
      Init: false,
      // testcontainers would publish the port at every address of the machine.
      PortBindings: { [`${API_PORT}/tcp`]: [{ HostIp: "127.0.0.1", HostPort: "0" }] },
      // A named volume can have labels, so that it can be found after its container is gone.
      Mounts: [
        {
          Type: "volume",
          Source: containerName(cluster),
          Target: "/var",
          VolumeOptions: { NoCopy: false, Labels: labels, DriverConfig: { Name: "local", Options: {} } },
        },
      ],
      ...(existsSync("/lib/modules") ? { Binds: ["/lib/modules:/lib/modules:ro"] } : {}),
    };
    this.hostConfig = hostConfig;
  }

  override async start(): Promise<StartedKindContainer> {
    return new StartedKindContainer(await super.start());
  }
}

/** A node that has booted and waits for kubeadm. */
export class StartedKindContainer extends AbstractStartedContainer {
  constructor(container: StartedTestContainer) {
    super(container);
  }

  /** The node's IPv4 address, where pods and the kubelet reach the API server. */
  get address(): string {
    const [network] = this.getNetworkNames();
    return this.getIpAddress(network ?? "bridge");
  }

  /** The loopback port of this machine at which the API server is published. */
  get apiPort(): number {
    return this.getMappedPort(API_PORT);
  }

  get cluster(): string {
    return this.getLabels()[LABEL.cluster] ?? "";
  }
}
