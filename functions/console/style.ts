/** The one stylesheet. Colours are chosen for a contrast of 4.5 or more on both grounds. */
export const STYLE = `
:root{color-scheme:light dark;--ground:#fff;--raised:#f4f5f7;--text:#1c1f24;--quiet:#545b66;--line:#cfd4dc;--accent:#0b57a4;--on-accent:#fff;--good:#14683a;--bad:#a8202a;--warning:#7a4b00}
@media(prefers-color-scheme:dark){:root{--ground:#14171b;--raised:#1f242a;--text:#e8eaed;--quiet:#a8b0bb;--line:#3b434d;--accent:#8cc0ff;--on-accent:#0c1a2b;--good:#7fd6a2;--bad:#ff9a9a;--warning:#f2c063}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:1rem/1.5 system-ui,sans-serif}
a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.skip{position:absolute;left:-100vw;padding:.5rem 1rem;background:var(--accent);color:var(--on-accent)}
.skip:focus{left:0;z-index:1}
header{border-bottom:1px solid var(--line);background:var(--raised)}
header>*,main,footer{max-width:72rem;margin:0 auto;padding:.5rem 1rem}
header p{font-weight:600}
header .stage{font-weight:400;color:var(--quiet)}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;margin:0;padding:0}
nav a{display:inline-block;padding:.25rem 0}
nav a[aria-current]{color:var(--text);font-weight:600;text-decoration-thickness:2px}
footer{color:var(--quiet);font-size:.875rem}
h1{font-size:1.5rem;line-height:1.25;margin:.75rem 0}
h2{font-size:1.2rem;margin:1.5rem 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .25rem}
main{overflow-wrap:anywhere}
button,label,th,time{overflow-wrap:normal}
.lead{font-size:1.15rem}
.quiet{color:var(--quiet)}
.good{color:var(--good)}.bad{color:var(--bad)}.warning{color:var(--warning)}
.notice,.apart{border:1px solid var(--line);border-left:.4rem solid var(--accent);background:var(--raised);padding:.5rem 1rem;margin:1rem 0}
.notice.bad,.apart{border-left-color:var(--bad)}
.notice.good{border-left-color:var(--good)}
.notice{color:var(--text)}
code,pre{font-family:ui-monospace,monospace;font-size:.9em;overflow-wrap:anywhere}
pre{margin:.25rem 0;white-space:pre-wrap}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
caption{text-align:left;color:var(--quiet)}
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line)}
td ul,td p{margin:0;padding:0;list-style:none}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:.5rem 0}
dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
form{display:flex;flex-wrap:wrap;gap:.5rem;align-items:end;margin:.5rem 0}
form p{flex-basis:100%;margin:0}
label{display:grid;gap:.15rem}
input,select,button{font:inherit;color:inherit;background:var(--ground);border:1px solid var(--quiet);border-radius:.25rem;padding:.35rem .6rem;min-height:2.5rem;max-width:100%}
button,.button{cursor:pointer;background:var(--accent);border-color:var(--accent);color:var(--on-accent)}
button.second{background:var(--ground);color:var(--accent)}
button.danger{background:var(--bad);border-color:var(--bad);color:var(--ground)}
.actions{display:flex;flex-wrap:wrap;gap:.5rem}
ul.plain{list-style:none;padding:0}
details summary{cursor:pointer}
@media(max-width:40rem){
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}
table.cards thead{position:absolute;left:-100vw}
table.cards,table.cards tbody,table.cards tr,table.cards td,table.cards th{display:block}
table.cards tr{border-bottom:1px solid var(--line);padding:.5rem 0}
table.cards td,table.cards th{border:0;padding:.1rem 0}
table.cards td[data-label]::before{content:attr(data-label) ": ";color:var(--quiet)}
}
`;
