// Licensed under the Apache License, Version 2.0; see LICENSE.

// Digits classifies handwritten digits: CSV → RunInference of a Python service → text files, on a runner that takes pipelines of
// several languages. After `make demo`, which makes the data and the model, with Prism (tools/prism.sh builds it):
//
//	beam-ml-expansion serve --local-runner                 # for its workers; says where it listens
//	build/prism/prism
//	go run . --input=../../build/demo/digits_test.csv --model_uri=$PWD/../../build/demo/digits.onnx --output=/tmp/digits \
//	  --expansion_service=localhost:8097 --runner=universal --endpoint=localhost:8073 --environment_type=LOOPBACK
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"reflect"
	"strconv"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/typex"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/local"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/textio"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/xlang/schema"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"
)

var (
	input   = flag.String("input", "build/demo/digits_test.csv", "CSV file with a header: id, label, p0 … p63")
	output  = flag.String("output", "build/demo/go", "Prefix of the files to write: …_predictions.csv and …_errors.csv")
	model   = flag.String("model_uri", "build/demo/digits.onnx", "Where the model file is, for service and workers")
	service = flag.String("expansion_service", "localhost:8097", "host:port of the service")
)

// digit is what goes in.
type digit struct {
	ID     int64     `beam:"id"`
	Pixels []float64 `beam:"pixels"`
}

// What comes back. A row of another SDK is a struct without a name in Go, which can be assigned to these because they have its
// fields: the names that Go makes of columns, their order, types and tags. An output row holds the input row's columns, then the
// predictions, then model_id.
type (
	prediction struct {
		Id       int64     `beam:"id"`
		Pixels   []float64 `beam:"pixels"`
		Digits   []int64   `beam:"digits"`
		Scores   []float32 `beam:"scores"`
		Model_id string    `beam:"model_id"`
	}
	failure struct {
		Element    digit  `beam:"element"`
		Stage      string `beam:"stage"`
		Error_type string `beam:"error_type"`
		Message    string `beam:"message"`
		Model_id   string `beam:"model_id"`
	}
)

// The part of the configuration (RunInferenceConfig) that this pipeline sets. A pointer is a field that may be left out.
type (
	config struct {
		Model         framework     `beam:"model"`
		PreHooks      []preHook     `beam:"pre_hooks"`
		PostHooks     []postHook    `beam:"post_hooks"`
		ErrorHandling errorHandling `beam:"error_handling"`
	}
	framework struct {
		Onnx onnx `beam:"onnx"`
	}
	onnx struct {
		URI string `beam:"uri"`
	}
	preHook struct {
		Scale scale `beam:"scale"`
	}
	scale struct {
		Columns []string `beam:"columns"`
		Affine  affine   `beam:"affine"`
	}
	affine struct {
		Factor float64 `beam:"factor"`
	}
	postHook struct {
		TopK   *topK    `beam:"top_k"`
		Select *columns `beam:"select"`
	}
	topK struct {
		Column        string `beam:"column"`
		K             int64  `beam:"k"`
		ValuesOutput  string `beam:"values_output"`
		IndicesOutput string `beam:"indices_output"`
	}
	columns struct {
		Columns []string `beam:"columns"`
	}
	errorHandling struct {
		Output string `beam:"output"`
	}
)

func init() {
	register.Function2x0(parse)
	register.Emitter1[digit]()
	// Not by register.Function1x1, which insists on the named type where it gets the one without.
	beam.RegisterFunction(formatPrediction)
	beam.RegisterFunction(formatFailure)
}

// parse reads a line; the header is none.
func parse(line string, emit func(digit)) {
	parts := strings.Split(strings.TrimSpace(line), ",")
	id, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return
	}
	pixels := make([]float64, len(parts)-2)
	for i, part := range parts[2:] {
		if pixels[i], err = strconv.ParseFloat(part, 64); err != nil {
			panic(fmt.Errorf("digit %d: %w", id, err))
		}
	}
	emit(digit{ID: id, Pixels: pixels})
}

func formatPrediction(p prediction) string {
	return fmt.Sprintf("%d,%d,%.4f", p.Id, p.Digits[0], p.Scores[0])
}

func formatFailure(f failure) string {
	return fmt.Sprintf("%d,%s,%s", f.Element.ID, f.Stage, f.Message)
}

func main() {
	flag.Parse()
	beam.Init()
	p, s := beam.NewPipelineWithRoot()
	digits := beam.ParDo(s, parse, textio.Read(s, *input))

	results := schema.Transform(s, config{
		Model:    framework{onnx{*model}},
		PreHooks: []preHook{{scale{[]string{"pixels"}, affine{0.0625}}}}, // 0 … 16 to 0 … 1, as in training
		PostHooks: []postHook{
			{TopK: &topK{Column: "probabilities", K: 1, ValuesOutput: "scores", IndicesOutput: "digits"}},
			{Select: &columns{[]string{"digits", "scores"}}},
		},
		ErrorHandling: errorHandling{"errors"},
	}, "beamml:schematransform:run_inference:v1",
		schema.ExpansionAddr(*service),
		schema.Input("input", digits),
		schema.OutputType("output", typex.New(reflect.TypeOf(prediction{}))),
		schema.OutputType("errors", typex.New(reflect.TypeOf(failure{}))))

	textio.Write(s, *output+"_predictions.csv", beam.ParDo(s, formatPrediction, results["output"]))
	textio.Write(s, *output+"_errors.csv", beam.ParDo(s, formatFailure, results["errors"]))
	if err := beamx.Run(context.Background(), p); err != nil {
		log.Fatal(err)
	}
}
