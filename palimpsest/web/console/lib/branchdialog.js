// Making and deleting a branch.

import { api, documentPath, idempotencyKey } from "./api.js";
import { dialog, field, h, toast } from "./dom.js";

/**
 * @param {string} name of the document
 * @param {string} at where it starts, such as "main:3"
 * @returns {Promise<any>} the branch; null where none was made
 */
export async function branchDialog(name, at) {
  const branch = h("input", { type: "text", required: true, spellcheck: false, autocomplete: "off" });
  const place = h("input", { type: "text", value: at, required: true, spellcheck: false, autocomplete: "off" });
  const why = h("input", { type: "text", autocomplete: "off" });
  const fields = [
    field("Name", branch),
    field("Starts from", place, { hint: "A version as branch:version, such as main:3, or a branch for its newest." }),
    field("Why", why),
  ];
  let made = null;
  const key = idempotencyKey();
  await dialog(`A new branch of ${name}`, fields, {
    confirm: "Make the branch",
    ready: () => branch.value.trim() !== "" && place.value.trim() !== "",
    onConfirm: async () => {
      const body = { branch: branch.value.trim(), at: place.value.trim() };
      made = (await api.send("POST", documentPath(name, "/branches"), { params: { description: why.value.trim() }, headers: { "Idempotency-Key": key }, body })).body;
    },
  });
  if (made) toast(`The branch ${branch.value.trim()} starts from ${place.value.trim()}.`, { kind: "good" });
  return made;
}

/** @param {string} name of the document @param {string} branch @returns {Promise<boolean>} whether it was deleted */
export async function deleteBranchDialog(name, branch) {
  const isDone = await dialog(`Delete the branch ${branch}?`, [
    h("p", null, "Its versions stay and can be read by their numbers; what was merged stays merged. The branch itself is gone, with what was not merged."),
  ], {
    confirm: "Delete the branch",
    danger: true,
    onConfirm: () => api.send("DELETE", documentPath(name, "/branches"), { params: { branch } }),
  });
  if (isDone) toast(`The branch ${branch} was deleted.`);
  return isDone;
}
