<?php
// A program of Laravel 8 as Debian has it, without Composer: what `composer create-project` and `composer require` would make.

namespace App\Http {
    class Kernel extends \Illuminate\Foundation\Http\Kernel
    {
        protected $middlewareGroups = ['web' => [
            \Illuminate\Cookie\Middleware\EncryptCookies::class,
            \Illuminate\Cookie\Middleware\AddQueuedCookiesToResponse::class,
            \Illuminate\Session\Middleware\StartSession::class,
            \Illuminate\View\Middleware\ShareErrorsFromSession::class,
            \Illuminate\Foundation\Http\Middleware\VerifyCsrfToken::class,
            \Illuminate\Routing\Middleware\SubstituteBindings::class,
        ]];
    }
}

namespace App\Providers {
    class RouteServiceProvider extends \Illuminate\Foundation\Support\Providers\RouteServiceProvider
    {
        public function boot(): void
        {
            $this->routes(function () {
                \Illuminate\Support\Facades\Route::middleware('web')->group(base_path('routes/web.php'));
            });
        }
    }
}

namespace App\Models {
    class User extends \Illuminate\Foundation\Auth\User
    {
        public $timestamps = false;
    }
}

namespace {
    $app = new Illuminate\Foundation\Application(dirname(__DIR__));
    $app->singleton(Illuminate\Contracts\Http\Kernel::class, App\Http\Kernel::class);
    $app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
    return $app;
}
