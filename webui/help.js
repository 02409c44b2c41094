// Runs once for the keyboard help. The browser itself gives the focus back when a dialog closes.
const help = element.querySelector('dialog');
element.querySelector('.dh-keys').addEventListener('click', () => help.showModal());
help.addEventListener('click', event => { if (event.target === help || event.target.closest('.dh-shut')) help.close(); });
help.addEventListener('keydown', event => {
  if (event.key === '?') help.close();
  event.stopPropagation();  // the page's own keys sleep behind a dialog
});
document.addEventListener('keydown', event => {
  const typing = event.target.closest?.('input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable]');
  if (event.key !== '?' || typing || event.ctrlKey || event.metaKey || document.querySelector('dialog[open]')) return;
  help.showModal();
  event.preventDefault();
});
