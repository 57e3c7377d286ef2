// The examples that wait to be saved. They lie in the browser's IndexedDB: a closed tab or a dead server loses none.
//
// A record is {id, label, name, blob, saving}: `saving` is true from the moment that Save was pressed.

const STORE = "examples";

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("edgefew-console", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

let database = null;

async function within(mode, work) {
  database ??= opened();
  const transaction = (await database).transaction(STORE, mode, { durability: "strict" });
  const request = work(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

export function all() {
  return within("readonly", (store) => store.getAll());
}

/** The id of a new example. */
export function add(label, name, blob) {
  return within("readwrite", (store) => store.add({ label, name, blob, saving: false }));
}

export function remove(ids) {
  return within("readwrite", (store) => ids.forEach((id) => store.delete(id)));
}

/** Writes records again, changed. */
export function change(records) {
  return within("readwrite", (store) => records.forEach((record) => store.put(record)));
}
