/**
 * etcd's data of a control plane in which no controller has run yet: the objects of Kubernetes and Istio, and nothing secret. A cluster
 * that starts from a copy of it does not apply a hundred objects. Runs in the supervisor.
 */

import { mkdir, open, readdir } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";

/** Of the keys, what each cluster has for itself: its identity, its certificates, and what expires. */
const OWN_KEYS = [
  // Its uid is what a cluster is known by; the API server makes the namespace where it is missing.
  "/registry/namespaces/kube-system",
  // The certificate of the authority for clients.
  "/registry/configmaps/kube-system/extension-apiserver-authentication",
  "/registry/leases/",
  "/registry/masterleases/",
  "/registry/events/",
] as const;

/** Nothing here may be in the data: a controller or istiod makes it for one cluster. */
const SECRET_KEYS = ["/registry/secrets/", "/registry/pods/"] as const;

const CHUNK = 1 << 20;

/**
 * Copies etcd's folder. Its log is allocated ahead, so most of it is zeros: those are left out, as holes.
 * @param to is made
 */
export async function copyData(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyData(source, target);
    // What etcd has allocated for a next log, and makes anew.
    else if (!entry.name.endsWith(".tmp")) await copySparse(source, target);
  }
}

async function copySparse(from: string, to: string): Promise<void> {
  await using source = await open(from, "r");
  await using target = await open(to, "w", 0o600);
  const buffer = Buffer.alloc(CHUNK);
  const zeros = Buffer.alloc(CHUNK);
  let at = 0;
  for (;;) {
    const { bytesRead } = await source.read(buffer, 0, CHUNK, at);
    if (bytesRead === 0) break;
    const part = buffer.subarray(0, bytesRead);
    if (!part.equals(zeros.subarray(0, bytesRead))) await target.write(part, 0, bytesRead, at);
    at += bytesRead;
  }
  await target.truncate(at);
}

/**
 * Removes from a running etcd what each cluster has for itself, and all history. The API server must have ended.
 * @param socket etcd's, which is a file
 * @throws Error if the data contains a Secret or a pod
 */
export async function makeShareable(socket: string): Promise<void> {
  for (const key of SECRET_KEYS) {
    const { count = "0" } = await ask<{ count?: string }>(socket, "kv/range", { ...rangeOf(key), count_only: true });
    if (count !== "0") throw new Error(`etcd has ${count} keys in ${key} before any controller has run`);
  }
  let revision = "0";
  for (const key of OWN_KEYS) {
    const { header } = await ask<{ header: { revision: string } }>(socket, "kv/deleterange", rangeOf(key));
    revision = header.revision;
  }
  await ask(socket, "kv/compaction", { revision, physical: true });
  // Writes the file anew, without the pages that were removed.
  await ask(socket, "maintenance/defragment", {});
}

/** A key, or all keys in a folder, as etcd's JSON has them. */
function rangeOf(key: string): { readonly key: string; readonly range_end?: string } {
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  // "0" is the character after "/".
  return key.endsWith("/") ? { key: encode(key), range_end: encode(`${key.slice(0, -1)}0`) } : { key: encode(key) };
}

/** A call of etcd's API v3 as JSON. */
async function ask<T>(socketPath: string, path: string, body: object): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const call = request({ socketPath, path: `/v3/${path}`, method: "POST" }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => (text += part));
      response.once("error", reject);
      response.once("end", () => {
        if (response.statusCode === 200) resolve(JSON.parse(text) as T);
        else reject(new Error(`etcd answered ${response.statusCode} to ${path}: ${text}`));
      });
    });
    call.once("error", reject);
    call.end(JSON.stringify(body));
  });
}
