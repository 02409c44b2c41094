// Runs once for the trail of queries.
element.addEventListener('click', event => {
  const step = event.target.closest('[data-step]');
  if (!step || step.disabled) return;
  if (step.matches('.dh-back') && history.state?.depth) history.back();  // one Back, whichever button
  else trigger('goto', {step: Number(step.dataset.step)});
});
keepFocus('.dh-back:not(:disabled), [aria-current]');
document.addEventListener('keydown', event => {
  const typing = event.target.closest && event.target.closest('input, textarea, select, [contenteditable]');
  if (typing || event.ctrlKey || event.metaKey) return;
  const back = element.querySelector('.dh-back');
  if (event.key === 'Backspace' && back && !back.disabled) { back.click(); event.preventDefault(); }
  if (event.key === '/') {
    const words = document.querySelector('#dh-words textarea, #dh-words input');
    if (words && words.offsetParent) { words.focus(); event.preventDefault(); }
  }
});
