/** Takes an image's whole file system out of its layers (OCI Image Specification, "Image Layer Filesystem Changeset"). */

import { createReadStream, createWriteStream } from "node:fs";
import { chmod, copyFile, mkdir, rename, rm, symlink } from "node:fs/promises";
import { join, posix } from "node:path";
import { pipeline } from "node:stream/promises";
import { extract } from "tar-stream";
import { inLanes } from "../../../harness/lanes.ts";
import type { RegistryImage } from "./client.ts";
import { bounded, decompressor, failure, plainPath, LIMITS, type TakeOptions } from "./unpack.ts";

/** So many layers of an image come side by side. */
const DOWNLOADS = 3;

/** As the kernel's (path_resolution(7)). */
const MOST_LINKS = 40;

type Node =
  | { readonly kind: "folder" }
  | { readonly kind: "link"; readonly target: string }
  /** @property content of a file in the work folder; two paths to one file have the same */
  | { readonly kind: "file"; readonly content: string; readonly isProgram: boolean };

/**
 * Writes an image's file system below a folder. Until all layers are read there is only a plan by path, in which links are
 * followed; then folders and files are written, and links last. So no name and no link of a layer leads out of the folder.
 * Owners, special files, and permissions but that to run are left out.
 * @param options.except paths that are left out, with what is below them, such as `usr/share/doc`
 * @param work an empty folder
 * @throws MeshproofError ERR_COMPONENT where it is not a file system that can be unpacked; see openImage for the rest
 */
export async function takeTree(
  image: RegistryImage,
  folder: string,
  work: string,
  { received, except, limits = LIMITS }: TakeOptions & { readonly except: RegExp },
): Promise<void> {
  const layers = await inLanes(
    image.layers.entries(),
    async ([index, layer]) => {
      if (!(layer.size <= limits.layer))
        throw failure(
          image,
          `its layer ${layer.digest} has ${layer.size} bytes, and more than ${limits.layer} are not read`,
        );
      const file = join(work, `layer-${index}`);
      await image.download(layer, file, received);
      return { layer, file };
    },
    DOWNLOADS,
  );
  const plan = new Map<string, Node>([["", { kind: "folder" }]]);
  let files = 0;
  for (const { layer, file } of layers) {
    const own = new Set<string>();
    const unpacking = extract();
    const feeding = pipeline(createReadStream(file), decompressor(layer, image), bounded(limits.layer), unpacking);
    feeding.catch(() => undefined); // the loop below ends with the same error
    try {
      for await (const entry of unpacking) {
        const { name, type, linkname, mode = 0, size = 0 } = entry.header;
        const path = placeIn(plan, plainPath(name));
        const base = posix.basename(path);
        const parent = path.slice(0, path.length - base.length);
        if (base === ".wh..wh..opq") removeBelow(plan, parent, own);
        else if (base.startsWith(".wh.")) remove(plan, parent + base.slice(4), own);
        else if (!except.test(path)) {
          if (type === "directory") set({ kind: "folder" });
          else if (type === "symlink") set({ kind: "link", target: linkname ?? "" });
          else if (type === "link") {
            const linked = plan.get(placeIn(plan, plainPath(linkname ?? "")));
            if (linked?.kind === "file") set(linked);
            else if (!except.test(plainPath(linkname ?? ""))) throw new Error(`${path} is a hard link to no file`);
          } else if (type === "file") {
            if (!(size <= limits.file))
              throw new Error(`${path} has ${size} bytes, and more than ${limits.file} are not written`);
            const content = join(work, `file-${files++}`);
            await pipeline(entry, createWriteStream(content));
            set({ kind: "file", content, isProgram: (mode & 0o100) !== 0 });
            continue;
          }
        }
        entry.resume();

        function set(node: Node): void {
          if (path === "") return;
          if (node.kind !== "folder" && plan.get(path)?.kind === "folder") remove(plan, path, new Set());
          plan.set(path, node);
          own.add(path);
          for (let above = posix.dirname(path); above !== "."; above = posix.dirname(above)) {
            const kind = plan.get(above)?.kind;
            if (kind === "file") throw new Error(`${path} is below a file`);
            if (kind === "folder") break;
            plan.set(above, { kind: "folder" });
          }
        }
      }
      await feeding;
    } catch (cause) {
      throw failure(image, `its layer ${layer.digest} cannot be unpacked: ${(cause as Error).message}`, cause);
    }
    await rm(file);
  }
  await write(plan, folder).catch((cause: unknown) => {
    throw failure(image, (cause as Error).message, cause);
  });
}

/** Where an entry belongs: its folder may be a link in a lower layer, such as /lib to usr/lib. */
function placeIn(plan: ReadonlyMap<string, Node>, path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  let at = "";
  for (let links = 0; parts.length > 1;) {
    const part = parts.shift() ?? "";
    const next = part === ".." ? posix.dirname(at).replace(/^\.$/, "") : posix.join(at, part);
    const node = plan.get(next);
    if (node?.kind !== "link") {
      at = next;
      continue;
    }
    if (++links > MOST_LINKS) throw new Error(`${path} leads through too many links`);
    if (node.target.startsWith("/")) at = "";
    parts.unshift(...node.target.split("/").filter((each) => each !== "" && each !== "."));
  }
  const last = parts[0] ?? "";
  if (last === "..") throw new Error(`${path} is not the name of a file`);
  return posix.join(at, last).replace(/^\.$/, "");
}

/** Of lower layers alone: what is in `own` stays. */
function remove(plan: Map<string, Node>, path: string, own: ReadonlySet<string>): void {
  if (!own.has(path)) plan.delete(path);
  removeBelow(plan, `${path}/`, own);
}

function removeBelow(plan: Map<string, Node>, folder: string, own: ReadonlySet<string>): void {
  for (const path of plan.keys()) if (path !== "" && path.startsWith(folder) && !own.has(path)) plan.delete(path);
}

async function write(plan: ReadonlyMap<string, Node>, folder: string): Promise<void> {
  const written = new Map<string, string>();
  const place = (path: string): string => join(folder, path);
  const ordered = [...plan].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [path, node] of ordered) if (node.kind === "folder") await mkdir(place(path), { recursive: true });
  for (const [path, node] of ordered) {
    if (node.kind !== "file") continue;
    const before = written.get(node.content);
    if (before === undefined) await rename(node.content, place(path));
    else await copyFile(before, place(path));
    written.set(node.content, place(path));
    await chmod(place(path), node.isProgram ? 0o755 : 0o644);
  }
  for (const [path, node] of ordered) {
    if (node.kind === "link") await symlink(node.target, place(path));
  }
}
