// The Python SDK of an engine that reaches no image hub: what Dagger's own does with uv and prebuilt images, done with pip.
//
// It asks two things of a module, as Dagger's own does: a pyproject.toml that pip can install, and a main class named
// like the module.
package main

import (
	"context"
	"path"
	"strings"

	"dagger/python-sdk/internal/dagger"
)

const (
	baseImage = "python:3.11-slim"
	// Of the engine's version: an older client may lack what a module uses, a newer one asks for what the engine lacks.
	client = "dagger-io==0.19.10"
	// The engine runs it for each function call; the SDK finds the module by the DAGGER_ variables.
	runtime = "#!/opt/venv/bin/python\nimport sys\nfrom dagger.mod.cli import app\nsys.exit(app())\n"
)

type PythonSdk struct{}

// Codegen adds nothing to a module's source: the client is installed, not generated into it.
func (*PythonSdk) Codegen(modSource *dagger.ModuleSource, introspectionJSON *dagger.File) *dagger.GeneratedCode {
	return dag.GeneratedCode(modSource.ContextDirectory())
}

// ModuleRuntime returns the container whose entrypoint answers a module's function calls.
func (*PythonSdk) ModuleRuntime(
	ctx context.Context,
	modSource *dagger.ModuleSource,
	introspectionJSON *dagger.File,
) (*dagger.Container, error) {
	subpath, err := modSource.SourceSubpath(ctx)
	if err != nil {
		return nil, err
	}
	name, err := modSource.ModuleOriginalName(ctx)
	if err != nil {
		return nil, err
	}
	// What changes least comes first: a change of the module installs the module, not the client.
	return dag.Container().
		From(baseImage).
		WithEnvVariable("PYTHONUNBUFFERED", "1").
		WithMountedCache("/root/.cache/pip", dag.CacheVolume("modpython-pip")).
		WithExec([]string{"python3", "-m", "venv", "/opt/venv"}).
		WithEnvVariable("PATH", "/opt/venv/bin:${PATH}", dagger.ContainerWithEnvVariableOpts{Expand: true}).
		WithExec([]string{"pip", "install", "-q", client}).
		WithDirectory("/src", modSource.ContextDirectory()).
		WithExec([]string{"pip", "install", "-q", "-e", path.Join("/src", subpath)}).
		WithWorkdir("/src").
		WithEnvVariable("DAGGER_MODULE", name).
		WithEnvVariable("DAGGER_DEFAULT_PYTHON_PACKAGE", strings.ReplaceAll(name, "-", "_")).
		WithEnvVariable("DAGGER_MAIN_OBJECT", mainObject(name)).
		WithNewFile("/runtime", runtime, dagger.ContainerWithNewFileOpts{Permissions: 0o755}).
		WithEntrypoint([]string{"/runtime"}), nil
}

// mainObject turns a module's name, my-module, into its main class's, MyModule.
func mainObject(name string) string {
	var class strings.Builder
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' }) {
		class.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return class.String()
}
