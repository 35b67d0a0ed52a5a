/** Reads a kubeconfig like kubectl (kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig). */

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { parse } from "yaml";
import { MeshproofError } from "../../harness/model/errors.ts";
import { messageOf } from "../../harness/mesh/api-error.ts";
import { placeInHome } from "../../harness/own.ts";

/** The fields of a cluster, a user or a context, as in the file. */
export type Fields = Readonly<Record<string, unknown>>;

/** The merged content of several files. If two files have the same name, the first one wins. */
export interface RawKubeconfig {
  readonly clusters: ReadonlyMap<string, Fields>;
  readonly users: ReadonlyMap<string, Fields>;
  readonly contexts: ReadonlyMap<string, Fields>;
}

/** Name of the context of a pod's own service account. A pod without a kubeconfig uses it. */
export const IN_CLUSTER = "in-cluster";
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * The treatment of a kubeconfig field with a value: `honoured`, `harmless` (it changes nothing here), `told` (reported with this
 * text), or `refused` because the client library would use another user or another server than kubectl.
 */
type Treatment = "honoured" | "harmless" | { readonly told: string } | { readonly refused: string };

const IMPERSONATION = "meshproof would act as another user than kubectl does";

/** Fields of client-go's api/v1 `Cluster` and `AuthInfo`; other fields are reported. */
export const FIELDS: Readonly<Record<"cluster" | "user", Readonly<Record<string, Treatment>>>> = {
  cluster: {
    server: "honoured",
    "certificate-authority": "honoured",
    "certificate-authority-data": "honoured",
    "tls-server-name": "honoured",
    "proxy-url": "honoured",
    "disable-compression": "harmless",
    extensions: "harmless",
    "insecure-skip-tls-verify": { told: "the API server's certificate is not verified: who answers is not proven" },
  },
  user: {
    "client-certificate": "honoured",
    "client-certificate-data": "honoured",
    "client-key": "honoured",
    "client-key-data": "honoured",
    token: "honoured",
    tokenFile: "honoured",
    username: "honoured",
    password: "honoured",
    as: "honoured",
    exec: "honoured",
    "auth-provider": "honoured",
    extensions: "harmless",
    "as-uid": { refused: IMPERSONATION },
    "as-groups": { refused: IMPERSONATION },
    "as-user-extra": { refused: IMPERSONATION },
  },
};

/** The fields with a path, which is relative to its kubeconfig. */
const PATHS = ["certificate-authority", "client-certificate", "client-key", "tokenFile"] as const;

/**
 * Reads a kubeconfig, or kubectl's default: the files in `$KUBECONFIG`, else `~/.kube/config`, else the service account of the
 * pod that this process runs in.
 * @param serviceAccount folder of a pod's service account token
 * @throws MeshproofError ERR_CLUSTER_REFUSED if a file cannot be read
 */
export function readKubeconfig(file: string | undefined, serviceAccount = SERVICE_ACCOUNT): RawKubeconfig {
  if (file !== undefined) return readFiles([file]);
  const listed = (process.env["KUBECONFIG"] ?? "").split(path.delimiter).filter((name) => name !== "");
  const files = (listed.length > 0 ? listed : [placeInHome(".kube/config")]).filter((name) => existsSync(name));
  if (files.length > 0) return readFiles(files);
  if (listed.length > 0)
    throw new MeshproofError("ERR_CLUSTER_REFUSED", `no file in $KUBECONFIG exists: ${listed.join(", ")}`, {
      hint: "--kubeconfig FILE names another",
    });
  return inCluster(serviceAccount) ?? { clusters: new Map(), users: new Map(), contexts: new Map() };
}

function readFiles(files: readonly string[]): RawKubeconfig {
  const merged = {
    clusters: new Map<string, Fields>(),
    users: new Map<string, Fields>(),
    contexts: new Map<string, Fields>(),
  };
  for (const file of files) {
    try {
      const folder = path.dirname(path.resolve(file));
      const read = (parse(readFileSync(file, "utf8")) ?? {}) as Record<string, unknown>;
      for (const [key, inner] of [
        ["clusters", "cluster"],
        ["users", "user"],
        ["contexts", "context"],
      ] as const)
        for (const entry of (Array.isArray(read[key]) ? read[key] : []) as Fields[]) {
          const name = entry["name"];
          if (typeof name !== "string" || merged[key].has(name)) continue;
          merged[key].set(name, withPaths((entry[inner] ?? {}) as Fields, folder));
        }
    } catch (cause) {
      throw new MeshproofError("ERR_CLUSTER_REFUSED", `the kubeconfig ${file} cannot be read: ${messageOf(cause)}`, {
        hint: "--kubeconfig FILE names another",
        cause,
      });
    }
  }
  return merged;
}

function withPaths(fields: Fields, folder: string): Fields {
  const absolute = PATHS.flatMap((key) => {
    const value = fields[key];
    return typeof value === "string" && value !== "" ? [[key, path.resolve(folder, value)] as const] : [];
  });
  return { ...fields, ...Object.fromEntries(absolute) };
}

/** Like client-go's rest.InClusterConfig. */
function inCluster(folder: string): RawKubeconfig | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  const tokenFile = `${folder}/token`;
  if (!host || !port || !existsSync(tokenFile)) return undefined;
  const server = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  return {
    clusters: new Map([[IN_CLUSTER, { server, "certificate-authority": `${folder}/ca.crt` }]]),
    users: new Map([[IN_CLUSTER, { tokenFile }]]),
    contexts: new Map([[IN_CLUSTER, { cluster: IN_CLUSTER, user: IN_CLUSTER }]]),
  };
}

/** The reports about a cluster's or user's fields, and the reasons why it cannot be used. */
export function treat(
  what: "cluster" | "user",
  fields: Fields,
): { readonly told: string[]; readonly refused: string[] } {
  const told: string[] = [];
  const refused: string[] = [];
  for (const [field, value] of Object.entries(fields)) {
    if (value === undefined || value === null || value === false || value === "") continue;
    const treatment = Object.hasOwn(FIELDS[what], field) ? FIELDS[what][field] : undefined;
    if (treatment === undefined) told.push(`the ${what}'s field ${field} is not known and is not used`);
    else if (typeof treatment === "object" && "told" in treatment) told.push(`${field}: ${treatment.told}`);
    else if (typeof treatment === "object") refused.push(`${field} is not supported: ${treatment.refused}`);
  }
  return { told, refused };
}

/**
 * Where the library and kubectl give precedence to different fields, keeps only kubectl's.
 * @throws MeshproofError ERR_CLUSTER_REFUSED if a token file cannot be read
 */
export function settle(what: "cluster" | "user", fields: Fields): Fields {
  const settled: Record<string, unknown> = { ...fields };
  for (const key of ["certificate-authority", "client-certificate", "client-key"])
    if (settled[`${key}-data`]) delete settled[key];
  if (what === "cluster" || typeof settled["tokenFile"] !== "string") return settled;
  const { tokenFile } = settled;
  delete settled["tokenFile"];
  // The library reads a rotated file again, but also sends a line feed at its end, which is invalid in a header.
  let text: string;
  try {
    text = readFileSync(tokenFile, "utf8");
  } catch (cause) {
    throw new MeshproofError("ERR_CLUSTER_REFUSED", `the token file cannot be read: ${messageOf(cause)}`, {
      hint: "kubectl reads the same file: the field tokenFile of the user names it",
      cause,
    });
  }
  if (text === text.trim()) {
    delete settled["token"];
    settled["auth-provider"] = { name: "tokenFile", config: { tokenFile } };
  } else settled["token"] = text.trim();
  return settled;
}
