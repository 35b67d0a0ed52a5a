import { kubeconfigOf, type Pki } from "./pki.ts";
import {
  API_PORT,
  BRIDGE,
  CLUSTER_DOMAIN,
  DNS_SERVICE_ADDRESS,
  NODE_ADDRESS,
  NODE_BIN,
  NODE_CONFIG,
  NODE_ETCD,
  NODE_NAME,
  NODE_SOCKETS,
  POD_CIDR,
  SERVICE_CIDR,
  type NodeProgram,
} from "./node-layout.ts";

/**
 * etcd has no authentication, so it listens on no address: its sockets are files of the node, which no pod can see, not even
 * one on the node's network.
 */
const ETCD_URL = `unix://${NODE_SOCKETS}/etcd`;
const SERVICE_ACCOUNT_ISSUER = `https://kubernetes.default.svc.${CLUSTER_DOMAIN}`;

/** The controllers that a mesh and its workloads need; the rest (volumes, cloud, certificates, quotas) has nothing to do here. */
const CONTROLLERS = [
  "clusterrole-aggregation-controller",
  "cronjob-controller",
  "daemonset-controller",
  "deployment-controller",
  "endpoints-controller",
  "endpointslice-controller",
  "garbage-collector-controller",
  "job-controller",
  "namespace-controller",
  "node-lifecycle-controller",
  "pod-garbage-collector-controller",
  "replicaset-controller",
  "root-ca-certificate-publisher-controller",
  "serviceaccount-controller",
  "serviceaccount-token-controller",
  "statefulset-controller",
  "taint-eviction-controller",
  "ttl-after-finished-controller",
];

/** The command line of each program, as run inside the node's root. */
export function commandOf(program: NodeProgram): readonly string[] {
  // etcd treats its peers' socket as a file only if its name is not a path.
  const folder = program === "etcd" ? ["env", `--chdir=${NODE_SOCKETS}`] : [];
  return [...folder, `${NODE_BIN}/${program}`, ...FLAGS[program]];
}

const FLAGS: Readonly<Record<NodeProgram, readonly string[]>> = {
  etcd: [
    `--data-dir=${NODE_ETCD}`,
    `--listen-client-urls=${ETCD_URL}`,
    "--listen-peer-urls=unix://peers:0",
    // etcd requires an address here; it is not used, since there is only one member.
    "--advertise-client-urls=http://127.0.0.1:1",
    // The data is in memory and ends with the cluster.
    "--unsafe-no-fsync",
    // A single member elects itself after one election timeout; the default is a second.
    "--heartbeat-interval=20",
    "--election-timeout=100",
    "--log-level=warn",
  ],
  "kube-apiserver": [
    `--etcd-servers=${ETCD_URL}`,
    `--advertise-address=${NODE_ADDRESS}`,
    "--bind-address=0.0.0.0",
    `--secure-port=${API_PORT}`,
    `--service-cluster-ip-range=${SERVICE_CIDR}`,
    "--authorization-mode=Node,RBAC",
    "--anonymous-auth=false",
    "--allow-privileged=true",
    `--client-ca-file=${NODE_CONFIG}/ca.crt`,
    `--tls-cert-file=${NODE_CONFIG}/apiserver.crt`,
    `--tls-private-key-file=${NODE_CONFIG}/apiserver.key`,
    `--kubelet-certificate-authority=${NODE_CONFIG}/ca.crt`,
    `--kubelet-client-certificate=${NODE_CONFIG}/apiserver-kubelet.crt`,
    `--kubelet-client-key=${NODE_CONFIG}/apiserver-kubelet.key`,
    "--kubelet-preferred-address-types=InternalIP",
    `--service-account-issuer=${SERVICE_ACCOUNT_ISSUER}`,
    `--service-account-key-file=${NODE_CONFIG}/sa.pub`,
    `--service-account-signing-key-file=${NODE_CONFIG}/sa.key`,
    "--profiling=false",
  ],
  "kube-controller-manager": [
    `--kubeconfig=${NODE_CONFIG}/controller-manager.conf`,
    `--controllers=${CONTROLLERS.join(",")}`,
    "--use-service-account-credentials=true",
    `--service-account-private-key-file=${NODE_CONFIG}/sa.key`,
    `--root-ca-file=${NODE_CONFIG}/ca.crt`,
    "--leader-elect=false",
    "--secure-port=0",
    // The default of 20 requests a second is for a server shared by many nodes.
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
    "--profiling=false",
  ],
  "kube-scheduler": [
    `--kubeconfig=${NODE_CONFIG}/scheduler.conf`,
    "--leader-elect=false",
    "--secure-port=0",
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
    "--profiling=false",
  ],
  "kube-proxy": [`--config=${NODE_CONFIG}/kube-proxy.yaml`],
  coredns: [`-conf=${NODE_CONFIG}/Corefile`],
};

/** The files that the programs read, by their name in {@link NODE_CONFIG}. */
export function configFiles(pki: Pki): Readonly<Record<string, string>> {
  return {
    "ca.crt": pki.authority.certificate,
    "apiserver.crt": pki.servers.apiserver.certificate,
    "apiserver.key": pki.servers.apiserver.privateKey,
    "apiserver-kubelet.crt": pki.clients["apiserver-kubelet"].certificate,
    "apiserver-kubelet.key": pki.clients["apiserver-kubelet"].privateKey,
    "kubelet.crt": pki.servers.kubelet.certificate,
    "kubelet.key": pki.servers.kubelet.privateKey,
    "sa.pub": pki.serviceAccounts.publicKey,
    "sa.key": pki.serviceAccounts.privateKey,
    "admin.conf": kubeconfigOf(pki, "admin"),
    "controller-manager.conf": kubeconfigOf(pki, "controller-manager"),
    "scheduler.conf": kubeconfigOf(pki, "scheduler"),
    "kube-proxy.conf": kubeconfigOf(pki, "kube-proxy"),
    "coredns.conf": kubeconfigOf(pki, "coredns"),
    "kubelet.conf": kubeconfigOf(pki, "kubelet"),
    "kube-proxy.yaml": JSON.stringify(KUBE_PROXY, null, 2),
    Corefile: COREFILE,
  };
}

const KUBE_PROXY = {
  apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
  kind: "KubeProxyConfiguration",
  mode: "nftables",
  hostnameOverride: NODE_NAME,
  clusterCIDR: POD_CIDR,
  clientConnection: { kubeconfig: `${NODE_CONFIG}/kube-proxy.conf` },
  // Zero keeps the kernel's values: those of a network namespace cannot be raised, and the host's must not be changed.
  conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
  // A new Service works at once; the default gathers changes for a second.
  nftables: { minSyncPeriod: "10ms" },
  healthzBindAddress: "127.0.0.1:10256",
  metricsBindAddress: "127.0.0.1:10249",
};

/**
 * A name outside the cluster gets NXDOMAIN at once: no other name server can be reached from here. Two blocks, since
 * `template` would come before `kubernetes` in one.
 */
const COREFILE = `${CLUSTER_DOMAIN}:53 in-addr.arpa:53 {
    bind ${NODE_ADDRESS}
    ready 127.0.0.1:8181
    kubernetes ${CLUSTER_DOMAIN} in-addr.arpa {
        kubeconfig ${NODE_CONFIG}/coredns.conf
        pods insecure
        ttl 1
    }
}
.:53 {
    bind ${NODE_ADDRESS}
    template ANY ANY {
        rcode NXDOMAIN
    }
}
`;

/** HTTP URLs that answer 200 once the program is ready. */
export const READY_URLS = {
  "kube-proxy": "http://127.0.0.1:10256/healthz",
  coredns: "http://127.0.0.1:8181/ready",
} as const;

interface BaseObject {
  /** Its place in the API, for server-side apply. */
  readonly path: string;
  readonly object: object;
}

/** A cluster role and its binding to one user. */
function grant(name: string, user: string, rules: readonly object[]): BaseObject[] {
  const rbac = "rbac.authorization.k8s.io";
  return [
    {
      path: `/apis/${rbac}/v1/clusterroles/${name}`,
      object: { apiVersion: `${rbac}/v1`, kind: "ClusterRole", metadata: { name }, rules },
    },
    {
      path: `/apis/${rbac}/v1/clusterrolebindings/${name}`,
      object: {
        apiVersion: `${rbac}/v1`,
        kind: "ClusterRoleBinding",
        metadata: { name },
        roleRef: { apiGroup: rbac, kind: "ClusterRole", name },
        subjects: [{ apiGroup: rbac, kind: "User", name: user }],
      },
    },
  ];
}

/** The last permission that the kubelet needs beyond the node authorizer; the start waits until it is in force. */
export const KUBELET_ACCESS = {
  user: `system:node:${NODE_NAME}`,
  resourceAttributes: { resource: "secrets", verb: "watch" },
};

/** The objects of a cluster before anything is installed. */
export const BASE_OBJECTS: readonly BaseObject[] = [
  ...grant("system:coredns", "system:coredns", [
    { apiGroups: [""], resources: ["services", "pods", "namespaces"], verbs: ["list", "watch"] },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"] },
  ]),
  // The node authorizer lets a kubelet read each object that one of its pods uses. Ours watches all of them, since it
  // has the only node.
  ...grant("meshproof:kubelet", KUBELET_ACCESS.user, [
    { apiGroups: [""], resources: ["configmaps", "secrets"], verbs: ["list", "watch"] },
  ]),
  {
    path: "/api/v1/namespaces/kube-system/services/kube-dns",
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "kube-dns", namespace: "kube-system", labels: { "k8s-app": "kube-dns" } },
      spec: {
        clusterIP: DNS_SERVICE_ADDRESS,
        ports: [
          { name: "dns", port: 53, protocol: "UDP" },
          { name: "dns-tcp", port: 53, protocol: "TCP" },
        ],
      },
    },
  },
  {
    path: "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-node",
    object: {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "kube-dns-node",
        namespace: "kube-system",
        labels: { "kubernetes.io/service-name": "kube-dns" },
      },
      addressType: "IPv4",
      ports: [
        { name: "dns", port: 53, protocol: "UDP" },
        { name: "dns-tcp", port: 53, protocol: "TCP" },
      ],
      endpoints: [{ addresses: [NODE_ADDRESS], conditions: { ready: true } }],
    },
  },
];

/** `ip -batch` lines of the node's own network. */
export const NETWORK_LINES: readonly string[] = [
  "link set lo up",
  // A fixed MAC address: by default a bridge takes that of a port, and changes it when pods come and go.
  `link add ${BRIDGE} address 02:6d:70:00:00:01 type bridge`,
  `addr add ${NODE_ADDRESS}/24 dev ${BRIDGE}`,
  `link set ${BRIDGE} up`,
  // Routed somewhere, so that a connection from the node gets as far as kube-proxy's translation.
  `route add ${SERVICE_CIDR} dev ${BRIDGE}`,
  // Packets to the outside are rejected at once.
  "route add unreachable default",
];

/** Kernel settings of the node's network namespace, under /proc/sys/net. */
export const NETWORK_SETTINGS: Readonly<Record<string, string>> = {
  "ipv4/ip_forward": "1",
  // Pods reach each other through the node; a redirect would bypass its address translation.
  "ipv4/conf/all/send_redirects": "0",
  [`ipv4/conf/${BRIDGE}/send_redirects`]: "0",
};
