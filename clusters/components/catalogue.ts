import { createHash } from "node:crypto";
import { extname, join } from "node:path";

import { MeshproofError } from "../../harness/model/errors.ts";
import type { Image } from "../embedded/kubelet/image.ts";
import { BOOTSTRAP } from "./bootstrap.ts";
import type { Installed, InstalledComponent, MeshChoice } from "./components.ts";
import { hasOwnFilters } from "./release.ts";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The part of {@link Installed} that an image is made of. */
export interface Shelf extends Pick<Installed, "bin" | "components" | "istioBootstrap" | "node"> {
  /** What upstream Envoy gets in the place of Istio's bootstrap templates, by their paths. */
  readonly bootstraps?: Readonly<Record<string, string>>;
}

/** What differs from the shared Debian root, with the defaults of the image of that name. */
interface ImageRecipe {
  /** Components that the image's version and digest come from, the one it is named after first. */
  readonly components: readonly string[];
  readonly files?: (shelf: Shelf) => Readonly<Record<string, string>>;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly env?: (version: (component: string) => string) => Readonly<Record<string, string>>;
  readonly user?: number;
  readonly workingDir?: string;
}

/** Our Bookinfo: TypeScript, or the JavaScript of a package. */
const BOOKINFO = join(import.meta.dirname, "../../workloads/bookinfo");
const BOOKINFO_MAIN = `/opt/bookinfo/main${extname(import.meta.filename)}`;

/** One service of Bookinfo in one version. */
function bookinfo(service: string, version: string): ImageRecipe {
  return {
    components: ["node", "debian"],
    files: ({ node }) => ({ "/usr/local/bin/node": node, "/opt/bookinfo": BOOKINFO }),
    cmd: ["/usr/local/bin/node", BOOKINFO_MAIN, service, version],
    user: 1000,
    workingDir: "/opt/bookinfo",
  };
}

/** By the end of an image's name. A name of two parts must match as a whole, so that some other `curl` is not taken for it. */
const CATALOGUE: Readonly<Record<string, ImageRecipe>> = {
  // istio/istio pilot/docker/Dockerfile.pilot
  pilot: {
    components: ["istio", "debian"],
    files: ({ bin }) => ({ "/usr/local/bin/pilot-discovery": bin("pilot-discovery") }),
    entrypoint: ["/usr/local/bin/pilot-discovery"],
    user: 1337,
  },
  // istio/istio pilot/docker/Dockerfile.proxyv2: it names no user, the injected pods do
  proxyv2: {
    components: ["istio", "envoy", "debian"],
    files: ({ bin, istioBootstrap }) => ({
      "/usr/local/bin/pilot-agent": bin("pilot-agent"),
      "/usr/local/bin/envoy": bin("envoy"),
      "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json": istioBootstrap,
    }),
    entrypoint: ["/usr/local/bin/pilot-agent"],
    env: (version) => ({ ISTIO_META_ISTIO_PROXY_SHA: `envoy:${version("envoy")}` }),
  },
  // go-httpbin's Dockerfile, on distroless/static:nonroot
  "mccutchen/go-httpbin": {
    components: ["go-httpbin", "debian"],
    files: ({ bin }) => ({ "/bin/go-httpbin": bin("go-httpbin") }),
    cmd: ["/bin/go-httpbin"],
    user: 65532,
  },
  "curlimages/curl": {
    components: ["debian"],
    entrypoint: ["/entrypoint.sh"],
    cmd: ["curl"],
    user: 100,
    workingDir: "/home/curl_user",
  },
  "library/nginx": {
    components: ["debian"],
    cmd: ["nginx", "-g", "daemon off;"],
  },
  "examples-bookinfo-productpage-v1": bookinfo("productpage", "v1"),
  "examples-bookinfo-details-v1": bookinfo("details", "v1"),
  "examples-bookinfo-reviews-v1": bookinfo("reviews", "v1"),
  "examples-bookinfo-reviews-v2": bookinfo("reviews", "v2"),
  "examples-bookinfo-reviews-v3": bookinfo("reviews", "v3"),
  "examples-bookinfo-ratings-v1": bookinfo("ratings", "v1"),
};

/** The names of all images that the embedded cluster has, as they end; registries, hubs and tags do not matter. */
export function catalogueNames(): string[] {
  return Object.keys(CATALOGUE);
}

/** An image's name without tag and digest, split at the slashes; the implied parts of Docker's short names are added. */
function splitName(image: string): string[] {
  const [untagged = ""] = image.split("@");
  const parts = untagged.replace(/:[^:/]*$/, "").split("/");
  const short = parts.length === 1 || (parts.length === 2 && /^(index\.)?docker\.io$/.test(parts[0] ?? ""));
  return short ? ["docker.io", "library", parts.at(-1) ?? ""] : parts;
}

function lookUp(image: string): [string, ImageRecipe] | undefined {
  const parts = splitName(image);
  // A name without a registry is a Docker library image, which needs an entry of its own: `pilot` alone is not an image.
  const singles = parts[0] === "docker.io" && parts[1] === "library" ? [] : [parts.slice(-1).join("/")];
  for (const name of [parts.slice(-2).join("/"), ...singles]) {
    const recipe = CATALOGUE[name];
    if (recipe && Object.hasOwn(CATALOGUE, name)) return [name, recipe];
  }
  return undefined;
}

/**
 * The shelf with one Istio and one Envoy. Istio's images are tagged with Istio's version and, where it is not the one that
 * came with Istio, Envoy's ({@link proxyTag}); any other tag means the first of each.
 */
function chosenBy(image: string, shelf: Shelf): Shelf {
  const [, istioTag, envoyTag] = /:(.+?)(?:-envoy-([^:/@]+))?(?:@.*)?$/.exec(image) ?? [];
  const called = (name: string) => shelf.components.filter((component) => component.name === name);
  const istio = called("istio").find(({ version }) => version === istioTag) ?? called("istio")[0];
  // Files of an Istio are in its folder.
  const cameWith = (one: InstalledComponent | undefined) => (envoy: InstalledComponent) => envoy.dir === one?.dir;
  const wheels = called("envoy").filter((envoy) => !called("istio").some((one) => cameWith(one)(envoy)));
  const envoy =
    envoyTag === undefined ? called("envoy").find(cameWith(istio)) : wheels.find(({ version }) => version === envoyTag);
  const chosen = new Map<string, InstalledComponent>();
  for (const component of [istio, envoy, ...shelf.components])
    if (component && !chosen.has(component.name)) chosen.set(component.name, component);
  const components = [...chosen.values()];
  const program = (name: string) => components.find(({ programs }) => programs.includes(name))?.dir;
  const agent = program("pilot-agent");
  const template = agent === undefined ? shelf.istioBootstrap : join(agent, BOOTSTRAP);
  const isOwn = istio !== undefined && envoy !== undefined && cameWith(istio)(envoy) && hasOwnFilters(istio);
  return {
    ...shelf,
    components,
    bin(name) {
      const dir = program(name);
      return dir === undefined ? shelf.bin(name) : join(dir, "bin", name);
    },
    istioBootstrap: isOwn ? template : (shelf.bootstraps?.[template] ?? template),
  };
}

/** The tag of a proxy's image that has these versions; with the Envoy that came with Istio it is Istio's own tag. */
export function proxyTag({ istio, envoy }: MeshChoice): string {
  return envoy === undefined ? istio : `${istio}-envoy-${envoy}`;
}

/** What a pod's image is on the embedded cluster, or undefined for one that is not in the catalogue. */
export function resolveImage(image: string, whole: Shelf): Image | undefined {
  const found = lookUp(image);
  if (!found) return undefined;
  const shelf = chosenBy(image, whole);
  const [name, recipe] = found;
  const componentOf = (wanted: string) => {
    const component = shelf.components.find((candidate) => candidate.name === wanted);
    if (!component) throw new MeshproofError("ERR_COMPONENT", `component ${wanted} is not installed`);
    return component;
  };
  const files = Object.entries(recipe.files?.(shelf) ?? {});
  const digest = createHash("sha256").update(name);
  for (const component of recipe.components) digest.update(componentOf(component).digest);
  return {
    name,
    digest: `sha256:${digest.digest("hex")}`,
    layers: [],
    binds: files.map(([target, source]) => ({ source, target })),
    entrypoint: recipe.entrypoint ?? [],
    cmd: recipe.cmd ?? [],
    env: { PATH, ...recipe.env?.((component) => componentOf(component).version) },
    user: recipe.user ?? 0,
    workingDir: recipe.workingDir ?? "/",
  };
}

/** The message of `ErrImagePull` for an image that {@link resolveImage} does not know. */
export function explainUnknownImage(image: string): string {
  return `the embedded cluster pulls no images and has none called ${image}; its catalogue: ${catalogueNames().join(", ")}`;
}
