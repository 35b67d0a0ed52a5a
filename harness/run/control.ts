/** How a Playwright worker asks the process that owns the cluster for it and for a mesh setting: HTTP on a unix socket. */

import { createServer, request, type Server } from "node:http";
import type { MeshSetting } from "../model/cluster.ts";
import { MeshproofError, type ErrorCode } from "../model/errors.ts";
import type { Ground } from "./plan.ts";

/** Brings the mesh to a setting, with a new istiod in any case where it is to `restart`. */
export type SetMesh = (setting: MeshSetting, options: { readonly restart: boolean }) => Promise<void>;

/** What the owner of the cluster does for workers. */
export interface Owner {
  /** Waits until scenarios can run. */
  readonly ground: () => Promise<Ground>;
  readonly setMesh: SetMesh;
}

/** Serves until closed. The socket's folder is private to the user. */
export async function serveControl(socket: string, owner: Owner): Promise<Server> {
  const server = createServer((incoming, response) => {
    let body = "";
    incoming.setEncoding("utf8");
    incoming.on("data", (chunk: string) => (body += chunk));
    incoming.on("end", () => {
      const answer =
        incoming.url === "/ground" ? owner.ground() : owner.setMesh(...(JSON.parse(body) as Parameters<SetMesh>));
      answer.then(
        (value) => response.end(JSON.stringify(value ?? {})),
        (error: unknown) => {
          const known = error instanceof MeshproofError ? error : undefined;
          response.statusCode = 500;
          response.end(
            JSON.stringify({ code: known?.code ?? "ERR_MESH_SETTING", message: known?.message ?? String(error) }),
          );
        },
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socket, resolve);
  });
  return server;
}

/** Waits for the cluster. @throws what kept the owner from having one. */
export async function requestGround(socket: string): Promise<Ground> {
  return (await ask(socket, "/ground", "")) as Ground;
}

/** Brings the mesh to a setting. @throws what the owner's setMesh threw. */
export async function requestMesh(socket: string, ...asked: Parameters<SetMesh>): Promise<void> {
  await ask(socket, "/mesh", JSON.stringify(asked));
}

async function ask(socketPath: string, path: string, what: string): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method: "POST", path }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.on("end", () => {
        if (response.statusCode === 200) return resolve(JSON.parse(body));
        const { code, message } = JSON.parse(body) as { code: ErrorCode; message: string };
        reject(new MeshproofError(code, message));
      });
    });
    outgoing.on("error", reject);
    outgoing.end(what);
  });
}
