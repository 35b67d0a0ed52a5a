/** Address ranges of pods and services, the same as in kind's own clusters. */
const POD_SUBNET = "10.244.0.0/16";
const SERVICE_SUBNET = "10.96.0.0/16";

/** The API server's port in the node. */
export const API_PORT = 6443;

export interface NodeFacts {
  readonly cluster: string;
  /** Such as `v1.36.4`, from /kind/version in the node image. */
  readonly kubernetes: string;
  /** The node's IPv4 address on Docker's network. */
  readonly address: string;
}

/** kubeadm's configuration of a cluster with one node (kubeadm.k8s.io/v1beta4), documents of JSON, which is YAML. */
export function kubeadmConfig({ cluster, kubernetes, address }: NodeFacts): string {
  const args = (values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([name, value]) => ({ name, value }));
  const documents = [
    {
      apiVersion: "kubeadm.k8s.io/v1beta4",
      kind: "ClusterConfiguration",
      clusterName: cluster,
      kubernetesVersion: kubernetes,
      controlPlaneEndpoint: `${address}:${API_PORT}`,
      // The published port is reached at the loopback address.
      apiServer: { certSANs: ["localhost", "127.0.0.1", address] },
      // With the default of 20 requests per second it takes seconds until the node has a pod range.
      controllerManager: { extraArgs: args({ "kube-api-qps": "200", "kube-api-burst": "400" }) },
      scheduler: { extraArgs: args({ "kube-api-qps": "200", "kube-api-burst": "400" }) },
      networking: { podSubnet: POD_SUBNET, serviceSubnet: SERVICE_SUBNET },
    },
    {
      apiVersion: "kubeadm.k8s.io/v1beta4",
      kind: "InitConfiguration",
      localAPIEndpoint: { advertiseAddress: address, bindPort: API_PORT },
      nodeRegistration: {
        criSocket: "unix:///run/containerd/containerd.sock",
        taints: [],
        kubeletExtraArgs: args({ "node-ip": address }),
      },
    },
    {
      apiVersion: "kubelet.config.k8s.io/v1beta1",
      kind: "KubeletConfiguration",
      cgroupDriver: "systemd",
      // Separate from the machine's own kubelet, if it has one.
      cgroupRoot: "/kubelet",
      failSwapOn: false,
      // The disk is the machine's: a full disk must not cause evictions or image garbage collection.
      imageGCHighThresholdPercent: 100,
      evictionHard: { "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%" },
      kubeAPIQPS: 200,
      kubeAPIBurst: 400,
      maxPods: 110,
    },
    {
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      mode: "iptables",
      iptables: { minSyncPeriod: "0s" },
      // nf_conntrack_max applies to the whole machine.
      conntrack: { maxPerCore: 0 },
    },
  ];
  return documents.map((document) => JSON.stringify(document, null, 2)).join("\n---\n");
}

/** The node image's own CNI manifest; kind's is a template with one value (kind, actions/installcni). */
export function cniManifest(text: string): string {
  return text.replaceAll(/\{\{\s*\.PodSubnet\s*\}\}/g, POD_SUBNET);
}
