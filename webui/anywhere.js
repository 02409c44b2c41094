// Runs once for the whole page: pictures that are pasted, or dropped anywhere, are searched; several are parts of one query.
const MOST = 12, veil = element.querySelector('.dh-veil');
let inside = 0, own = false;
const searching = () => document.querySelector('#dh-search')?.offsetParent && !document.querySelector('dialog[open]');
const carries = event => !own && [...(event.dataTransfer?.types || [])].includes('Files');
const picturesOf = list => [...(list || [])].filter(file => file.type.startsWith('image/')).slice(0, MOST + 1);
const give = async files => {
  veil.hidden = true;
  inside = 0;
  const sent = await Promise.all(files.map(async file => ({path: (await upload(file)).path, name: file.name})));
  trigger('given', {files: sent});
};
const show = event => {
  if (!carries(event) || !searching()) return;
  event.preventDefault();  // else the browser would leave the page for the picture
  veil.hidden = false;
};
document.addEventListener('dragstart', () => { own = true; }, true);  // a picture of this page
document.addEventListener('dragend', () => { own = false; }, true);
document.addEventListener('dragenter', event => { if (carries(event)) { inside++; show(event); } }, true);
document.addEventListener('dragover', show, true);
document.addEventListener('dragleave', event => { if (carries(event) && --inside <= 0) { inside = 0; veil.hidden = true; } }, true);
document.addEventListener('drop', event => {
  if (!carries(event) || !searching()) return;
  const files = picturesOf(event.dataTransfer.files);
  veil.hidden = true;
  inside = 0;
  if (files.length === 1 && event.target.closest?.('#dh-picture')) return;  // the box takes one by itself
  event.preventDefault();
  event.stopPropagation();
  if (files.length) give(files);
}, true);
document.addEventListener('paste', event => {
  const files = picturesOf(event.clipboardData?.files);
  if (!files.length || !searching()) return;
  event.preventDefault();
  event.stopPropagation();
  give(files);
}, true);
