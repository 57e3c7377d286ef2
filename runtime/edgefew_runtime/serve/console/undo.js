// Changes to the gallery, each of which can be taken back.

import { notify } from "./notices.js";
import { server } from "./server.js";

/** Takes back the last change; given a revision, only if nothing has changed since. */
export async function undo(revision = null) {
  try {
    await server.poll();
    if (revision !== null && String(server.status.gallery.revision) !== String(revision)) {
      notify("Something else was changed since then. The log shows what; undo takes back the newest first.", { bad: true });
      return;
    }
    await server.call("undo", { method: "POST", json: { by: server.person, revision: revision ?? undefined } });
    notify("The last change is taken back.");
  } catch (error) {
    notify(error.message, { bad: true });
  }
  server.poll();
}

/** Makes a change, says so, and offers to take it back. Gives whether it was made. */
export async function changed(work, message) {
  try {
    await work();
    await server.poll();
  } catch (error) {
    notify(error.message, { bad: true });
    return false;
  }
  const { revision } = server.status.gallery;
  notify(message, { action: { name: "Undo", run: () => undo(revision) } });
  return true;
}
