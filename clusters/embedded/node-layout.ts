/** Network addresses and paths of the embedded cluster's node. */

/** The node's name in Kubernetes. */
export const NODE_NAME = "meshproof";

/** The node, the API server and CoreDNS; also every pod's gateway. */
export const NODE_ADDRESS = "10.244.0.1";
export const POD_CIDR = "10.244.0.0/24";

export const SERVICE_CIDR = "10.96.0.0/16";
/** `kubernetes.default`: the API server takes the first address of the range. */
export const API_SERVICE_ADDRESS = "10.96.0.1";
/** `kube-dns.kube-system`. */
export const DNS_SERVICE_ADDRESS = "10.96.0.10";
export const CLUSTER_DOMAIN = "cluster.local";

export const API_PORT = 6443;
export const BRIDGE = "br0";

/** Folders inside the node's root, all on a tmpfs. */
export const NODE_BIN = "/run/meshproof/bin";
export const NODE_CONFIG = "/run/meshproof/kubernetes";
export const NODE_ETCD = "/run/meshproof/etcd";
export const NODE_SOCKETS = "/run/meshproof/sockets";

/** The programs that the node starts. */
export const NODE_PROGRAMS = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kube-proxy",
  "coredns",
] as const;

export type NodeProgram = (typeof NODE_PROGRAMS)[number];
