package tidegate_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is where a file stops being one room. About 400 is the aim.
const maxLines = 600

// source is one parsed file.
type source struct {
	path string
	fset *token.FileSet
	file *ast.File
	text string
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// at formats a finding at a place in s.
func (s source) at(p token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s: %s", s.fset.Position(p), fmt.Sprintf(format, args...))
}

func parseSource(fset *token.FileSet, path, text string) (source, error) {
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{path, fset, file, text}, err
}

// walkFiles calls visit with each file that is ours by its path, outside of test data, builds and what git keeps.
func walkFiles(t *testing.T, visit func(path, text string)) {
	t.Helper()
	skipped := []string{".git", "bin", "node_modules", "testdata", "dist"}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(skipped, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !isText(path) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			visit(path, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isText tells whether the file at path is written by people.
func isText(path string) bool {
	switch filepath.Ext(path) {
	case ".go", ".md", ".toml", ".service", ".rules", ".sh", ".mod", ".yml", ".json", ".sql", ".ts", ".svelte":
		return true
	case "":
		dir, name := filepath.Split(path)
		return name == "Makefile" || dir == ".ci/"
	}
	return false
}

func parseAll(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	walkFiles(t, func(path, text string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		s, err := parseSource(fset, path, text)
		if err != nil {
			t.Errorf("parse: %v", err)
			return
		}
		all = append(all, s)
	})
	return all
}

func TestSources(t *testing.T) {
	all := parseAll(t)
	byFolder := map[string][]source{}
	for _, s := range all {
		for _, finding := range slices.Concat(initFuncs(s), sleeps(s), silentSkips(s), undocumented(s), tooLong(s)) {
			t.Error(finding)
		}
		if !s.isTest() {
			byFolder[filepath.Dir(s.path)] = append(byFolder[filepath.Dir(s.path)], s)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(byFolder)) {
		for _, finding := range slices.Concat(packageDoc(byFolder[dir]), packageState(byFolder[dir])) {
			t.Error(finding)
		}
	}
}

// initFuncs finds init functions: what happens at import happens behind everybody's back, in an order that nobody chose.
func initFuncs(s source) []string {
	var found []string
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" && !s.isTest() {
			found = append(found, s.at(f.Pos(), "func init: build it in a constructor, and list it where it is wired"))
		}
	}
	return found
}

// sleeps finds time.Sleep, in tests too: it is deaf to cancellation, and in a test it hides a race and costs time on every run.
func sleeps(s source) []string {
	name := importName(s.file, "time")
	var found []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && name != "" && isIdent(sel.X, name) && sel.Sel.Name == "Sleep" {
			found = append(found, s.at(sel.Pos(), "time.Sleep: wait for the condition, a timer with a context, or use testing/synctest"))
		}
		return true
	})
	return found
}

// silentSkips finds tests that are skipped without a word: the list of skips at the end of make test would name no reason.
func silentSkips(s source) []string {
	if !s.isTest() {
		return nil
	}
	var found []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if ok && (sel.Sel.Name == "SkipNow" || sel.Sel.Name == "Skip") && len(call.Args) == 0 {
			found = append(found, s.at(call.Pos(), "%s without a reason: say what is missing and how to get it", sel.Sel.Name))
		}
		return true
	})
	return found
}

// undocumented finds exported names without a comment.
func undocumented(s source) []string {
	if s.isTest() || s.file.Name.Name == "main" {
		return nil
	}
	var found []string
	for _, d := range s.file.Decls {
		for _, name := range undocumentedNames(d) {
			found = append(found, s.at(name.Pos(), "%s is exported and has no comment", name.Name))
		}
	}
	return found
}

func undocumentedNames(d ast.Decl) []*ast.Ident {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || receiver(d).IsExported() && !saysItAll(d.Name.Name)) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		return undocumentedSpecs(d)
	}
	return nil
}

// saysItAll tells whether every reader of Go knows what a method of this name does.
func saysItAll(method string) bool {
	return method == "String" || method == "Error" || method == "Unwrap"
}

// undocumentedSpecs looks at types, constants and variables. A comment above a group of constants or variables, or at the end of a
// line, serves; a type needs its own.
func undocumentedSpecs(d *ast.GenDecl) []*ast.Ident {
	var found []*ast.Ident
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && spec.Doc == nil && spec.Comment == nil && (d.Doc == nil || d.Lparen.IsValid()) {
				found = append(found, spec.Name)
			}
		case *ast.ValueSpec:
			if d.Doc != nil || spec.Doc != nil || spec.Comment != nil {
				continue
			}
			for _, name := range spec.Names {
				if name.IsExported() {
					found = append(found, name)
				}
			}
		}
	}
	return found
}

// receiver returns the name of the type whose method f is.
func receiver(f *ast.FuncDecl) *ast.Ident {
	for expr := f.Recv.List[0].Type; ; {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e
		default:
			return ast.NewIdent("_")
		}
	}
}

func tooLong(s source) []string {
	if n := strings.Count(s.text, "\n"); n > maxLines {
		return []string{fmt.Sprintf("%s: %d lines, more than %d: it is more than one room", s.path, n, maxLines)}
	}
	return nil
}

// packageDoc finds packages that do not say what they are.
func packageDoc(files []source) []string {
	if slices.ContainsFunc(files, func(s source) bool { return s.file.Doc != nil }) {
		return nil
	}
	return []string{fmt.Sprintf("%s: package %s has no comment", filepath.Dir(files[0].path), files[0].file.Name.Name)}
}

// packageState finds variables of a package that hold state: two gateways run in one process and must not meet in one. A table that
// is filled where it stands and never written to is no state.
func packageState(files []source) []string {
	scope, uses := resolve(files)
	var found []string
	for _, s := range files {
		for _, d := range s.file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				found = append(found, statefulVars(s, g)...)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			for _, target := range written(n) {
				if id := root(target); id != nil && isPackageVar(uses[id], scope) {
					found = append(found, s.at(id.Pos(), "%s is a variable of the package and is written to: give it an owner", id.Name))
				}
			}
			return true
		})
	}
	return found
}

// nothing imports every package as an empty one: what the names of this package mean can be told without the others.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}

// resolve returns the scope of the package in files and what each name in it refers to, as far as that can be told.
func resolve(files []source) (*types.Scope, map[*ast.Ident]types.Object) {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: nothing{}, Error: func(error) {}}
	asts := make([]*ast.File, len(files))
	for i, s := range files {
		asts[i] = s.file
	}
	// The error is that nothing was imported; the compiler tells of every other.
	p, _ := config.Check("p", files[0].fset, asts, info)
	return p.Scope(), info.Uses
}

func isPackageVar(o types.Object, scope *types.Scope) bool {
	v, ok := o.(*types.Var)
	return ok && v.Parent() == scope
}

// statefulVars finds variables that make sense only if somebody writes to them.
func statefulVars(s source, g *ast.GenDecl) []string {
	var found []string
	for _, spec := range g.Specs {
		v := spec.(*ast.ValueSpec)
		what := statefulType(s.file, v.Type)
		for _, value := range v.Values {
			if what == "" {
				what = statefulValue(s.file, value)
			}
		}
		if what != "" && v.Names[0].Name != "_" {
			found = append(found, s.at(v.Pos(), "%s is a variable of the package that holds %s: give it an owner", v.Names[0].Name, what))
		}
	}
	return found
}

func statefulType(f *ast.File, expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return statefulType(f, e.X)
	case *ast.IndexExpr: // atomic.Pointer[T]
		return statefulType(f, e.X)
	case *ast.ChanType:
		return "a channel"
	case *ast.MapType:
		return "a map"
	case *ast.SelectorExpr:
		for _, path := range []string{"sync", "sync/atomic"} {
			// A pool only lends memory: nobody can tell who used it before.
			if name := importName(f, path); name != "" && isIdent(e.X, name) && e.Sel.Name != "Pool" {
				return "a " + name + "." + e.Sel.Name
			}
		}
	}
	return ""
}

func statefulValue(f *ast.File, expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.UnaryExpr:
		return statefulValue(f, e.X)
	case *ast.CompositeLit:
		if _, isMap := e.Type.(*ast.MapType); isMap && len(e.Elts) > 0 {
			return "" // a table
		}
		return statefulType(f, e.Type)
	case *ast.CallExpr:
		if len(e.Args) > 0 && (isIdent(e.Fun, "make") || isIdent(e.Fun, "new")) {
			return statefulType(f, e.Args[0])
		}
	}
	return ""
}

// written returns the expressions that n writes to.
func written(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.CallExpr:
		if len(n.Args) > 0 && (isIdent(n.Fun, "delete") || isIdent(n.Fun, "clear")) {
			return n.Args[:1]
		}
	}
	return nil
}

// root returns the variable of which expr is a part: x of x.y[3].
func root(expr ast.Expr) *ast.Ident {
	switch e := expr.(type) {
	case *ast.Ident:
		return e
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.StarExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	}
	return nil
}

func isIdent(expr ast.Expr, name string) bool {
	id, ok := expr.(*ast.Ident)
	return ok && id.Name == name
}

// importName returns the name by which f knows the package at path, or "".
func importName(f *ast.File, path string) string {
	for _, spec := range f.Imports {
		if strings.Trim(spec.Path.Value, `"`) != path {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return filepath.Base(path)
	}
	return ""
}

// unwanted returns what must not stand in a text of ours: marks of unfinished work, and folders of the machine it was written on.
// The words are put together here so that this file does not hold them.
func unwanted() *regexp.Regexp {
	marks := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"}
	return regexp.MustCompile(`\b(` + strings.Join(marks, "|") + `)\b|(?i:not ` + `implemented)|(^|[^\w.])/(wo` + `rk|ro` + `ot)/`)
}

func unwantedWords(path, text string) []string {
	words := unwanted()
	var found []string
	for i, line := range strings.Split(text, "\n") {
		if m := words.FindString(line); m != "" {
			found = append(found, fmt.Sprintf("%s:%d: %q: finish it, or leave it out and say so where a reader looks for it", path, i+1, m))
		}
	}
	return found
}

func TestWords(t *testing.T) {
	walkFiles(t, func(path, text string) {
		for _, finding := range unwantedWords(path, text) {
			t.Error(finding)
		}
	})
}
